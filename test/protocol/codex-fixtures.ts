import { readdirSync, readFileSync } from "node:fs";
import { parseRolloutLine, type RolloutLine } from "../../src/protocol/rollout.ts";

const folder = new URL("../data/codex/", import.meta.url);

export const fixtureNames = (): string[] => readdirSync(folder).filter((name) => name.endsWith(".jsonl"));

/** The file's lines as JSON; those that are no JSON are left out. */
export const fixtureJson = (name: string): unknown[] =>
  readFileSync(new URL(name, folder), "utf8")
    .split("\n")
    .flatMap((line) => {
      try {
        return line === "" ? [] : [JSON.parse(line) as unknown];
      } catch {
        return [];
      }
    });

/** The file's readable lines. */
export const fixture = (name: string): RolloutLine[] =>
  fixtureJson(name).flatMap((value) => parseRolloutLine(value) ?? []);
