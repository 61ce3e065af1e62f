/**
 * Plays a recorded session of stock Codex against our server and compares what comes back: each answer with its answer,
 * and what is told of each thread in its order. Ids and paths may be others, as long as they are the same ones throughout;
 * times, versions and durations are not looked at.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Json, Message } from "./test-client.ts";

export type Row = { dir: "in" | "out" | "note"; msg?: Message; raw?: string; note?: string };

export const readTranscript = (name: string): Row[] =>
  readFileSync(new URL(`../data/app-server/${name}.jsonl`, import.meta.url), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^(msg|rs)_/;
const TEXT_ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
/** Not looked at: when, how long, which version, and the facts that the two programs know of themselves. */
const UNSEEN = new Set([
  ...["createdAt", "updatedAt", "recencyAt", "startedAt", "completedAt", "durationMs", "startedAtMs", "completedAtMs"],
  ...[
    "emittedAtMs",
    "cliVersion",
    "userAgent",
    "codexHome",
    "platformOs",
    "modelContextWindow",
    "readState",
    "readStates",
  ],
  ...["originator", "serviceTier", "rolloutOrdinal", "data"],
]);

export class Comparison {
  /** Theirs to ours. */
  readonly ids = new Map<string, string>();
  /** Totals count what was spent, reverted turns included: they are others than in stock Codex. */
  readonly spends: boolean;

  constructor(options: { spends: boolean }) {
    this.spends = options.spends;
  }

  /** A message of theirs with our ids. */
  translate<T>(value: T): T {
    let text = JSON.stringify(value);
    const known = [...this.ids].sort(([a], [b]) => b.length - a.length);
    for (const [theirs, ours] of known)
      text = text.replaceAll(JSON.stringify(theirs).slice(1, -1), JSON.stringify(ours).slice(1, -1));
    return JSON.parse(text);
  }

  equal(theirs: Json, ours: Json, place: string): void {
    if (typeof theirs === "string" && typeof ours === "string") this.#text(theirs, ours, place);
    else if (Array.isArray(theirs) && Array.isArray(ours)) {
      assert.equal(ours.length, theirs.length, `${place}: length`);
      for (const [index, each] of theirs.entries()) this.equal(each, ours[index], `${place}[${index}]`);
    } else if (isObject(theirs) && isObject(ours)) {
      for (const key of Object.keys(theirs)) {
        if (this.#unseen(key, place)) continue;
        if (UNSEEN.has(key) && !(key === "data" && Array.isArray(theirs[key]))) continue;
        this.equal(theirs[key], ours[key], `${place}.${key}`);
      }
    } else assert.deepEqual(ours, theirs, place);
  }

  /** Differences on purpose that hold everywhere: see PROTOCOL.md. */
  #unseen(key: string, place: string): boolean {
    if (place.includes("thread/list.result")) return ["forkedFromId", "model", "backwardsCursor"].includes(key);
    if (place.includes("thread/read") || place.includes("thread/unarchive")) return key === "model";
    return this.spends && place.endsWith("tokenUsage") && key === "total";
  }

  #text(theirs: string, ours: string, place: string): void {
    if (place.endsWith("Cursor")) {
      const cursor = parsed(theirs);
      if (typeof cursor !== "string") this.equal(cursor, parsed(ours), place);
    } else if (ID.test(theirs) || theirs.startsWith("/tmp/ch/")) {
      const before = this.ids.get(theirs);
      if (before === undefined) this.ids.set(theirs, ours);
      else assert.equal(ours, before, place);
    } else {
      const translated = theirs.replace(TEXT_ID, (id) => this.ids.get(id) ?? id);
      assert.equal(ours, translated, place);
    }
  }
}

const isObject = (value: Json): value is Record<string, Json> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function parsed(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** What is told of each thread, in order, by its id; what is of none under "". */
export function storiesOf(messages: readonly Message[]): Map<string, Message[]> {
  const stories = new Map<string, Message[]>();
  for (const message of messages) {
    const { method, params } = message;
    if (method === undefined) continue;
    const id = params.threadId ?? params.thread?.id ?? "";
    const story = stories.get(id);
    if (story === undefined) stories.set(id, [message]);
    else story.push(message);
  }
  return stories;
}
