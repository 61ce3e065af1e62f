/**
 * Rollouts that Codex wrote, with one field deleted or replaced: no reader fails in a way that has no name, none hangs, and
 * a thread that has a header left goes on. Some mutations of each file are tried; `SKEIN_MUTATIONS=all` tries all, of the
 * rollouts below the folder `SKEIN_ROLLOUTS` where that is given.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { turnsOf, viewOf } from "../../src/app-server/v2/history-turns.ts";
import { fileStore, SkeinError, scriptedClient, ThreadManager } from "../../src/index.ts";
import { isUuid, type ThreadId } from "../../src/protocol/ids.ts";
import { eventMsgsOf } from "../../src/protocol/initial-history.ts";
import type { RolloutLine } from "../../src/protocol/rollout.ts";
import { isJsonObject } from "../../src/protocol/unknown-kind.ts";
import { verifyHome } from "../../src/store/file/care/verify.ts";
import { parseRolloutName } from "../../src/store/file/layout.ts";

const FOLDER = process.env.SKEIN_ROLLOUTS ?? fileURLToPath(new URL("../data/rollouts/", import.meta.url));
const EACH =
  process.env.SKEIN_MUTATIONS === "all" ? Number.POSITIVE_INFINITY : Number(process.env.SKEIN_MUTATIONS ?? 5);
const DEADLINE_MS = 20_000;

type Path = readonly (string | number)[];
type Mutation = { readonly line: number; readonly path: Path; readonly to: unknown };

const deep = (levels: number): unknown => JSON.parse("[".repeat(levels) + "]".repeat(levels));
const DELETED = Symbol("deleted");
const REPLACEMENTS = [DELETED, null, 7, -1, 1e300, "x", "", [], {}, true, [null], [{}], [{ type: 5 }], deep(200)];

function* pathsIn(value: unknown, path: Path = []): Generator<Path> {
  if (path.length > 0) yield path;
  if (Array.isArray(value))
    for (const [index, part] of value.slice(0, 3).entries()) yield* pathsIn(part, [...path, index]);
  else if (isJsonObject(value)) for (const [name, part] of Object.entries(value)) yield* pathsIn(part, [...path, name]);
}

function mutated(value: unknown, [step, ...rest]: Path, to: unknown): unknown {
  if (step === undefined) return to;
  const copy = Array.isArray(value) ? value.slice() : { ...(value as object) };
  const next = mutated(Reflect.get(copy, step), rest, to);
  if (next === DELETED) Reflect.deleteProperty(copy, step);
  else Reflect.set(copy, step, next);
  return copy;
}

function mutationsOf(lines: readonly string[], seed: number): Mutation[] {
  const all: Mutation[] = [];
  for (const [line, text] of lines.entries()) {
    for (const path of pathsIn(JSON.parse(text))) for (const to of REPLACEMENTS) all.push({ line, path, to });
  }
  if (all.length <= EACH) return all;
  // A stride that shares no factor with the length visits each once.
  let stride = 7919 + seed * 104_729;
  while (gcd(stride, all.length) !== 1) stride += 1;
  return Array.from({ length: EACH }, (_, n) => all[(n * stride + seed) % all.length]).filter(
    (each) => each !== undefined,
  );
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

function rolloutsIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => parseRolloutName(basename(name)) !== undefined)
    .map((name) => join(folder, name))
    .sort();
}

/** A home with one rollout in it. */
function homeWith(name: string, text: string): string {
  const home = mkdtempSync(join(tmpdir(), "skein-mutated-"));
  const day = join(home, "sessions", ...name.slice(8, 18).split("-"));
  mkdirSync(day, { recursive: true });
  writeFileSync(join(day, name), text);
  return home;
}

function hasHeader(text: string): ThreadId | undefined {
  for (const line of text.split("\n")) {
    const value: unknown = line === "" ? undefined : JSON.parse(line);
    if (!isJsonObject(value) || value.type !== "session_meta" || typeof value.timestamp !== "string") continue;
    const { payload } = value;
    if (isJsonObject(payload) && typeof payload.id === "string" && isUuid(payload.id)) return payload.id as ThreadId;
  }
  return undefined;
}

/** Every way to read, and every way to go on. */
async function useThread(home: string, path: string, header: ThreadId | undefined): Promise<void> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const store = fileStore({ home, fsync: "never" });
  const config = { cwd: home, builtInTools: [] };
  const manager = await ThreadManager.create({ store, model: scriptedClient(), config, home });
  const typed = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      assert.ok(error instanceof SkeinError && error.code !== "internal_defect", `${what}: ${error}`);
      if (header !== undefined) throw error;
      return undefined;
    }
  };
  try {
    const listed = await manager.listThreads({
      limit: 10,
      sourceKinds: ["cli", "vscode", "exec", "mcp", "unknown", "subagent"],
    });
    const lines: RolloutLine[] = [];
    await typed("load", async () => {
      for await (const page of store.load({ rolloutPath: path }, { signal })) lines.push(...page);
    });
    for (const turn of turnsOf(lines))
      for (const view of ["full", "summary"] as const) JSON.stringify(viewOf(turn, view));
    JSON.stringify(eventMsgsOf({ type: "forked", items: lines }));
    await typed("header", () => store.header({ rolloutPath: path }));
    const forked = await typed("fork", () => manager.forkThread({ from: { rolloutPath: path }, config }, { signal }));
    await typed("fork at a message", () =>
      manager.forkThread({ from: { rolloutPath: path }, at: { beforeUserMessage: 1 }, config }, { signal }),
    );
    const resumed = await typed("resume", () =>
      manager.resumeThreadFromRollout(config, path, { signal, initialMessages: "all" }),
    );
    for (const made of [forked, resumed]) {
      if (made === undefined) continue;
      const outcome = await made.thread.run("go on", { signal });
      assert.equal(outcome.status, "completed", JSON.stringify(outcome));
    }
    await typed("export", async () => {
      for await (const piece of store.export({ rolloutPath: path }, { signal })) assert.ok(piece.endsWith("\n"));
    });
    if (header !== undefined && header === parseRolloutName(basename(path))?.threadId) {
      assert.ok(
        listed.threads.some(({ threadId }) => threadId === header),
        "the thread is listed",
      );
      await typed("get", () => store.get(header));
    }
  } finally {
    await manager.shutdown();
    await store.close();
  }
  await verifyHome({ home, signal });
}

for (const [seed, path] of rolloutsIn(FOLDER).entries()) {
  const lines = readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");
  test(`${basename(path)}: one field changed`, async () => {
    const mutations = mutationsOf(lines, seed);
    assert.ok(mutations.length > 0);
    for (const { line, path: place, to } of mutations) {
      const changed = lines.map((text, index) =>
        index === line ? JSON.stringify(mutated(JSON.parse(text), place, to)) : text,
      );
      const text = `${changed.join("\n")}\n`;
      const home = homeWith(basename(path), text);
      const [file] = rolloutsIn(home);
      assert.ok(file);
      try {
        await useThread(home, file, hasHeader(text));
      } catch (cause) {
        const what = `line ${line}, ${place.join(".")} -> ${to === DELETED ? "deleted" : JSON.stringify(to).slice(0, 60)}`;
        throw new Error(`${what}: ${cause instanceof Error ? cause.message : cause}`, { cause });
      } finally {
        rmSync(home, { recursive: true, force: true });
      }
    }
  });
}
