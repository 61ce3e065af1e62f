/**
 * Recorded sessions of stock Codex, and how they are held beside ours. Ids and paths may be others, as long as they are
 * the same ones throughout; times, versions and durations are not looked at.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Json, Message } from "./test-client.ts";

/**
 * `in` from the client, `out` to it; `raw` is a line that is no message. `file` was written by the recorder at this point
 * (`path` is relative to the home), `note` says that another process took over. `model` is what the model was asked, in
 * order: each item's role and text, or its type. `conn` is the client's connection, where there are several.
 */
export type Row =
  | { dir: "out"; msg: Message; conn?: number }
  | ClientRow
  | FileRow
  | { dir: "model"; input: string[] }
  | { dir: "note"; note: string; conn?: number };

/** What was written into the home at that point, or taken away (null). */
export type FileRow = { dir: "file"; path: string; text: string | null };

export type ClientRow = ({ dir: "in"; msg: Message } | { dir: "in"; raw: string }) & { conn?: number };

export const readTranscript = (name: string): Row[] =>
  readFileSync(new URL(`../data/app-server/${name}.jsonl`, import.meta.url), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line, (_key, value) => (typeof value === "string" ? written(value) : value)));

/** A run of equal characters that the recorder has shortened, written out. */
const written = (text: string): string =>
  text.replace(/<"(.)" repeated (\d+) times>/gu, (_all, char: string, times: string) => char.repeat(Number(times)));

export const messageOf = (row: Row | undefined): Message | undefined =>
  row !== undefined && "msg" in row ? row.msg : undefined;

/** Stands for a prompt of stock Codex's: ours says the same in our own words. */
const ELIDED = "<stock Codex's own text>";
/** Where the recorded sessions had their home and their working directory. */
const THEIR_HOME = "/tmp/ch";
const THEIR_CWD = "/tmp/ws";
const THEIR_USER_HOME = "/tmp/home";
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^(msg|rs|ws)_/;
const TEXT_ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
/** Not looked at: when, how long, which version, and the facts that the two programs know of themselves. */
const UNSEEN = new Set([
  ...["createdAt", "updatedAt", "recencyAt", "startedAt", "completedAt", "durationMs", "startedAtMs", "completedAtMs"],
  ...["emittedAtMs", "cliVersion", "userAgent", "platformOs", "readState", "readStates"],
  ...["serverName", "installationId"],
  ...["originator", "serviceTier", "rolloutOrdinal", "nextRolloutOrdinal", "position", "version", "data"],
]);

/** Those of them that may be null on one side alone. */
const VARIES = new Set(["serviceTier", "data"]);

export type ComparisonOptions = {
  readonly home: string;
  readonly cwd: string;
  /** The user's own. */
  readonly userHome: string;
  /** Whether ours may have no fields but theirs. */
  readonly isWhole?: boolean | undefined;
  /** Whether a field of theirs may be any other in ours; `place` is e.g. `answer 0:4 thread/list.result.data[0]`. */
  readonly unseen?: ((key: string, place: string) => boolean) | undefined;
};

export class Comparison {
  /** Theirs to ours. */
  readonly ids = new Map<string, string>();
  readonly #options: ComparisonOptions;

  constructor(options: ComparisonOptions) {
    this.#options = options;
  }

  /** A text or message of theirs with our ids and paths. */
  translate<T>(value: T): T {
    let text = JSON.stringify(value);
    const known = [...this.ids].sort(([a], [b]) => b.length - a.length);
    for (const [theirs, ours] of known) text = text.replaceAll(inJson(theirs), inJson(ours));
    return JSON.parse(this.#moved(text));
  }

  equal(theirs: Json, ours: Json, place: string): void {
    if (typeof theirs === "string" && typeof ours === "string") this.#text(theirs, ours, place);
    else if (Array.isArray(theirs) && Array.isArray(ours)) {
      assert.equal(ours.length, theirs.length, `${place}: length`);
      for (const [index, each] of theirs.entries()) this.equal(each, ours[index], `${place}[${index}]`);
    } else if (isObject(theirs) && isObject(ours)) {
      if (this.#options.isWhole === true) this.#sameKeys(theirs, ours, place);
      for (const key of Object.keys(theirs)) {
        if (this.#options.unseen?.(key, place) === true) continue;
        if (UNSEEN.has(key) && !(key === "data" && Array.isArray(theirs[key]))) {
          if (this.#options.isWhole === true && !VARIES.has(key)) {
            assert.equal(ours[key] === null, theirs[key] === null, `${place}.${key}: null`);
          }
          continue;
        }
        this.equal(theirs[key], ours[this.ids.get(key) ?? this.#moved(key)], `${place}.${key}`);
      }
    } else assert.deepEqual(ours, theirs, place);
  }

  /** Fields that stock Codex does not send are no more there than those that it sends are missing. */
  #sameKeys(theirs: Record<string, Json>, ours: Record<string, Json>, place: string): void {
    if (place.endsWith("readStates")) return;
    const known = Object.keys(theirs).map((key) => this.ids.get(key) ?? this.#moved(key));
    assert.deepEqual(Object.keys(ours).toSorted(), known.toSorted(), `${place}: fields`);
  }

  #text(theirs: string, ours: string, place: string): void {
    if (theirs === ELIDED) assert.notEqual(ours, "", place);
    else if (place.endsWith("Cursor")) {
      this.ids.set(theirs, ours);
      const cursor = parsed(theirs);
      if (typeof cursor !== "string") this.equal(cursor, parsed(ours), place);
    } else if (ID.test(theirs) || place.endsWith(".processId") || theirs.startsWith(`${THEIR_HOME}/`)) {
      const before = this.ids.get(theirs);
      if (before === undefined) this.ids.set(theirs, ours);
      else assert.equal(ours, before, place);
    } else {
      const known = theirs.replace(TEXT_ID, (id) => this.ids.get(id) ?? id);
      assert.equal(alike(ours), alike(this.#moved(known)), place);
    }
  }

  #moved(text: string): string {
    const { home, cwd, userHome } = this.#options;
    return text.replaceAll(THEIR_HOME, home).replaceAll(THEIR_CWD, cwd).replaceAll(THEIR_USER_HOME, userHome);
  }
}

/** Newer models are listed than the recorded version knew. */
const MODEL_COUNT = /^(cursor \d+ exceeds total models )\d+$/;
/** Where the recorded model's server was, and where ours is. */
const MODEL_SERVER = /(http:\/\/127\.0\.0\.1:)\d+/g;

const alike = (text: string): string => text.replace(MODEL_COUNT, "$1N").replace(MODEL_SERVER, "$1N");

const inJson = (text: string): string => JSON.stringify(text).slice(1, -1);

const isObject = (value: Json): value is Record<string, Json> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function parsed(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** What is told of each thread (v1: conversation), in order, by its id; what is of none under "". */
export function storiesOf(messages: readonly Message[]): Map<string, Message[]> {
  const stories = new Map<string, Message[]>();
  for (const message of messages) {
    const { method, params = {} } = message;
    if (method === undefined) continue;
    const id = params.threadId ?? params.thread?.id ?? params.conversationId ?? params.sessionId ?? "";
    const story = stories.get(id);
    if (story === undefined) stories.set(id, [message]);
    else story.push(message);
  }
  return stories;
}
