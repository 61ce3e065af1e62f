/**
 * What a logic of an embedder's own keeps over its lives: a machine's snapshot, or what a defined logic's `start` gave.
 *
 * It stands in the thread's rollout, as a line of a type that Codex does not know and passes over (SPEC 7.6): so it is written by
 * the thread's one writer, in order with what the thread said, under its lease and by its group commits; every store has it
 * without knowing; and a fork begins with the state of the place that it was forked at. The newest line counts.
 */
import * as z from "zod";
import { textOfThrown } from "../kernel/thrown.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { isDeepValue, MAX_JSON_DEPTH } from "../protocol/json-depth.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { ThreadStore } from "../store/thread-store.ts";

/** How a logic's state is kept. */
export type PersistOptions = {
  readonly persist: "snapshot";
  /** Of the state's form; goes up when older ones can't be read any more. Default 1. */
  readonly version?: number | undefined;
  /** Makes a state of this version of an older one. Without it an older one is refused. */
  readonly migrate?: ((state: unknown, fromVersion: number) => unknown) | undefined;
  /** A state that can't be read: the thread is refused with an error that says why (the default), or starts anew with a warning. */
  readonly unreadable?: "fail" | "anew" | undefined;
  /** Bytes of JSON that a state may have. Default 256 KiB. */
  readonly maxBytes?: number | undefined;
};

/** The type of the lines. */
const SAVED = "logic_state";
/** Whether a line is anything but a state: what tells of the conversation, and of what was submitted, needs no states. */
export const isNoState = (type: string): boolean => type !== SAVED;

const DEFAULT_VERSION = 1;
const DEFAULT_MAX_BYTES = 256 * 1024;
/** So many lines are looked at first; then eight times as many before them, and so on. */
const FIRST_LOOK = 256;

const savedShape = z.looseObject({ version: z.int().min(0), state: z.record(z.string(), z.unknown()) });

/** The state that a thread is to go on from; undefined: none was stored, or it starts anew, for the reason that is told. */
export type Saved = { readonly state: unknown; readonly problem?: string };

/**
 * The newest state that is stored of a thread.
 * @throws InvalidRequestError for one that can't be read, unless it is to start anew then
 */
export async function readSaved(
  store: ThreadStore,
  { threadId, end, signal }: { threadId: ThreadId; end: number; signal: AbortSignal | undefined },
  how: PersistOptions,
): Promise<Saved> {
  const payload = await newestLine(store, { threadId, end, signal });
  if (payload === undefined) return { state: undefined };
  try {
    return { state: readState(payload, how) };
  } catch (cause) {
    const problem = `the state of thread ${threadId} can't be read: ${textOfThrown(cause)}`;
    if (how.unreadable === "anew") return { state: undefined, problem };
    throw new InvalidRequestError(`${problem}; mend its logic, or let it start anew with \`unreadable: "anew"\``, {
      cause,
    });
  }
}

async function newestLine(
  store: ThreadStore,
  { threadId, end, signal }: { threadId: ThreadId; end: number; signal: AbortSignal | undefined },
): Promise<unknown> {
  for (let to = end, length = FIRST_LOOK; to > 0; length *= 8) {
    const from = Math.max(0, to - length);
    let newest: { readonly payload: unknown } | undefined;
    const wants = (type: string) => type === SAVED;
    const range = { from: { ordinal: from }, toOrdinal: to, wants, ...(signal === undefined ? {} : { signal }) };
    for await (const page of store.load(threadId, range)) {
      for (const line of page) if (line.type === SAVED) newest = line;
    }
    if (newest !== undefined) return newest.payload;
    to = from;
  }
  return undefined;
}

function readState(payload: unknown, { version = DEFAULT_VERSION, migrate }: PersistOptions): unknown {
  const read = savedShape.safeParse(payload);
  if (!read.success) throw new InvalidRequestError("its line has another form than a state's");
  const { version: from, state } = read.data;
  if (from > version) throw new InvalidRequestError(`it is of version ${from}, and the logic of version ${version}`);
  if (from === version) return state;
  if (migrate === undefined)
    throw new InvalidRequestError(`it is of version ${from}, and the logic has no \`migrate\``);
  return migrate(state, from);
}

/** Whose state it is. */
export interface KeptThread {
  record(item: RolloutItem): void;
  /** What could not be stored, and why. */
  complain(what: string): void;
}

/** Stores a state whenever it has changed: once for all changes of one step, and nothing where it is as it was. */
export class StateKeeper {
  readonly #thread: KeptThread;
  readonly #how: PersistOptions;
  readonly #state: () => unknown;
  #last: string | undefined;
  #isDue = false;
  #isOver = false;

  /** @param state gives the state as it is now; undefined for none to be stored */
  constructor(thread: KeptThread, how: PersistOptions, state: () => unknown) {
    this.#thread = thread;
    this.#how = how;
    this.#state = state;
  }

  /** The state may have changed. */
  note(): void {
    if (this.#isDue || this.#isOver) return;
    this.#isDue = true;
    // Before `submit` resolves: what is acknowledged is stored with what it led to.
    queueMicrotask(() => this.keep());
  }

  keep(): void {
    this.#isDue = false;
    if (this.#isOver) return;
    const state = this.#state();
    if (state === undefined) return;
    try {
      this.#store(state);
    } catch (error) {
      this.#thread.complain(`its state is not stored: ${textOfThrown(error)}`);
    }
  }

  #store(state: unknown): void {
    checkPlain(state, "state");
    const json = JSON.stringify(state);
    if (json === this.#last) return;
    const { version = DEFAULT_VERSION, maxBytes = DEFAULT_MAX_BYTES } = this.#how;
    if (json.length > maxBytes) throw new InvalidRequestError(`it has ${json.length} bytes, of at most ${maxBytes}`);
    this.#last = json;
    this.#thread.record({ type: SAVED, payload: { version, state: JSON.parse(json) } });
  }

  /** What follows is the thread's end, and no state to go on from. */
  close(): void {
    if (this.#isDue) this.keep();
    this.#isOver = true;
  }
}

/** @throws InvalidRequestError that names the place of what JSON would lose or change */
export function checkPlain(value: unknown, path: string): void {
  if (isDeepValue(value))
    throw new InvalidRequestError(`it nests deeper than ${MAX_JSON_DEPTH} levels, or holds itself`);
  walk(value, path);
}

function walk(value: unknown, path: string): void {
  if (value === null || value === undefined || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number" && Number.isFinite(value)) return;
  if (Array.isArray(value)) {
    for (const [index, one] of value.entries()) walk(one, `${path}[${index}]`);
    return;
  }
  const prototype: unknown = typeof value === "object" ? Object.getPrototypeOf(value) : undefined;
  if (prototype !== Object.prototype && prototype !== null) throw new InvalidRequestError(`${path} is no plain JSON`);
  for (const [name, one] of Object.entries(value as object)) walk(one, `${path}.${name}`);
}
