/** Words to write store tests in: items, turns, and what a store gives back of them. */
import { newThreadId, newTurnId, type ThreadId, type TurnId } from "../../protocol/ids.ts";
import { assistantMessage, userMessage } from "../../protocol/response-item.ts";
import type { RolloutItem, RolloutLine, SessionMeta } from "../../protocol/rollout.ts";
import { unknownKind } from "../../protocol/unknown-kind.ts";
import type { LoadRange, ThreadLocator, ThreadStore, ThreadWriter } from "../thread-store.ts";

/** A store under test. `reopen` is for stores that outlive their process: another one over the same place. */
export type StoreUnderTest = {
  readonly store: ThreadStore;
  readonly reopen?: () => Promise<ThreadStore>;
  readonly dispose: () => Promise<void>;
};
/** Gives a test a store of its own. */
export type MakeStore = () => Promise<StoreUnderTest>;

export const inStore =
  (make: MakeStore, body: (under: StoreUnderTest) => Promise<void>): (() => Promise<void>) =>
  async () => {
    const under = await make();
    try {
      await body(under);
    } finally {
      await under.dispose();
    }
  };

/** The headers of one run start a second apart, in the order of their making. */
let started = Date.UTC(2026, 0, 2, 3, 4, 5);

export function header(fields: Partial<SessionMeta> = {}): SessionMeta {
  started += 1000;
  return {
    id: newThreadId(),
    timestamp: new Date(started).toISOString(),
    cwd: "/srv/project",
    originator: "contract",
    cli_version: "0.0.1",
    source: "cli",
    model_provider: "mock",
    history_mode: "paginated",
    ...fields,
  };
}

export const user = (text: string): RolloutItem => ({ type: "response_item", payload: userMessage(text) });
export const context = (): RolloutItem => user("<environment_context>\n  <cwd>/srv</cwd>\n</environment_context>");
export const answer = (text: string): RolloutItem => ({ type: "response_item", payload: assistantMessage(text) });
export const begun = (turnId: string): RolloutItem => ({
  type: "event_msg",
  payload: { type: "task_started", turn_id: turnId },
});
export const ended = (turnId: string): RolloutItem => ({
  type: "event_msg",
  payload: { type: "task_complete", turn_id: turnId, last_agent_message: null },
});
export const aborted = (turnId: string): RolloutItem => ({
  type: "event_msg",
  payload: { type: "turn_aborted", turn_id: turnId, reason: "interrupted" },
});
export const rolledBack = (turns: number): RolloutItem => ({
  type: "event_msg",
  payload: { type: "thread_rolled_back", num_turns: turns },
});
/** Everything from the start of a turn on. */
export const rolledBackTo = (turnId: string, turns = 0): RolloutItem => ({
  type: "event_msg",
  payload: { type: "thread_rolled_back", num_turns: turns, before_turn_id: turnId },
});
export const compacted = (message: string): RolloutItem => ({ type: "compacted", payload: { message } });
export const fromTheFuture = (payload: unknown): RolloutItem => ({
  type: unknownKind("dream_state").type,
  payload,
});

/** A whole turn of four lines. */
export function addTurn(writer: ThreadWriter, text: string): TurnId {
  const turnId = newTurnId();
  for (const item of [begun(turnId), user(text), answer(`${text}!`), ended(turnId)]) writer.append(item);
  return turnId;
}

/** A stored thread with a turn for each text, closed. */
export async function storedThread(store: ThreadStore, texts: readonly string[], fields: Partial<SessionMeta> = {}) {
  const writer = await store.create(header(fields));
  const turns = texts.map((text) => addTurn(writer, text));
  await writer.close();
  return { id: writer.threadId, turns };
}

/** Forks and closes. Fails where the anchor lies outside the history. */
export async function forkAt(
  store: ThreadStore,
  source: ThreadLocator,
  at: Parameters<ThreadStore["forkBase"]>[1],
  add: (writer: ThreadWriter) => void = () => {},
): Promise<ThreadId> {
  const base = await store.forkBase(source, at);
  if (base === undefined) throw new Error("the anchor lies outside the history");
  const writer = await store.fork(header(), base);
  add(writer);
  await writer.close();
  return writer.threadId;
}

export async function linesOf(store: ThreadStore, thread: ThreadLocator, range?: LoadRange): Promise<RolloutLine[]> {
  const lines: RolloutLine[] = [];
  for await (const page of store.load(thread, range)) lines.push(...page);
  return lines;
}

/** What was appended, as JSON keeps it: without times and ordinals. */
export const plain = (items: readonly RolloutItem[]): unknown[] =>
  items.map((item) => {
    const { timestamp: _time, ordinal: _place, ...rest } = JSON.parse(JSON.stringify(item)) as Record<string, unknown>;
    return rest;
  });

export const itemsOf = async (store: ThreadStore, thread: ThreadLocator, range?: LoadRange): Promise<unknown[]> =>
  plain(await linesOf(store, thread, range));

/** One word for each line, to compare whole histories at a glance. */
export const gist = (items: readonly RolloutItem[]): string[] => items.map(wordFor);

function wordFor(item: RolloutItem): string {
  if (item.type === "response_item") {
    if (item.payload.type !== "message") return item.payload.type;
    return item.payload.content.map((part) => ("text" in part ? String(part.text) : part.type)).join("");
  }
  if (item.type === "event_msg") return `(${item.payload.type})`;
  return `[${item.type}]`;
}

export const gistOf = async (store: ThreadStore, thread: ThreadLocator, range?: LoadRange): Promise<string[]> =>
  gist(await linesOf(store, thread, range));

/** A turn of addTurn in the gist. */
export const turnGist = (...texts: string[]): string[] =>
  texts.flatMap((text) => ["(task_started)", text, `${text}!`, "(task_complete)"]);
