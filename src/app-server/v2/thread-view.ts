/** A thread as v2 shows it: what the store knows, what runs, and its history as turns. */

import type { ThreadId } from "../../protocol/ids.ts";
import type { HistoryMode, SessionMeta } from "../../protocol/rollout.ts";
import { type SessionSource, threadSpawnOf } from "../../protocol/session-source.ts";
import { ifStored } from "../../store/is-stored.ts";
import type { StoredThread, ThreadLocator } from "../../store/thread-store.ts";
import { VERSION } from "../../version.ts";
import type { Sections } from "../memos/sections.ts";
import type { ServedThread, ServedThreads } from "../served-threads.ts";
import type { ThreadHub } from "../thread-hub.ts";
import { HistoryFold, type HistoryTurn } from "./history-turns.ts";
import type { RunningTurn } from "./map-events.ts";
import type { V2Thread, V2Turn } from "./wire-types.ts";

/** What is known of a thread that no store lists, beside what runs. */
export type EphemeralFacts = {
  preview: string;
  readonly forkedFromId: ThreadId | null;
  readonly createdAt: number;
  readonly originator: string | null;
  readonly historyMode: HistoryMode;
};

export type History = { readonly turns: readonly HistoryTurn[] };

export class ThreadViews {
  readonly #manager: ServedThreads;
  readonly #hub: () => ThreadHub;
  readonly #sections: Sections;
  readonly #observer: { unsubscribe(): void };
  /** Threads that were started or forked as ephemeral; forgotten when they close. */
  readonly ephemeral = new Map<ThreadId, EphemeralFacts>();

  constructor(manager: ServedThreads, sections: Sections, hub: () => ThreadHub) {
    this.#manager = manager;
    this.#sections = sections;
    this.#hub = hub;
    this.#observer = manager.threadClosed$.subscribe(({ threadId }) => this.ephemeral.delete(threadId));
  }

  close(): void {
    this.#observer.unsubscribe();
  }

  /** A new thread: nothing has to be read for it. */
  ofNew(
    thread: ServedThread,
    facts: { now: number; originator: string | null; source: SessionSource; historyMode: HistoryMode },
  ): V2Thread {
    const seconds = Math.floor(facts.now / 1000);
    return this.#withLive(blank(thread.id, thread.config.cwd, seconds), thread, {
      originator: facts.originator,
      source: sourceToV2(facts.source),
      modelProvider: thread.config.modelProvider,
      historyMode: facts.historyMode,
    });
  }

  /** @throws RolloutNotFoundError */
  async read(threadId: ThreadId): Promise<V2Thread> {
    const live = this.#manager.loadedThread(threadId);
    const facts = this.ephemeral.get(threadId);
    if (facts !== undefined && live !== undefined) return this.#ofEphemeral(live, facts);
    const [stored, header] = await Promise.all([
      this.#manager.store.get(threadId),
      this.#manager.store.header(threadId),
    ]);
    return this.ofStored(stored, header);
  }

  #ofEphemeral(thread: ServedThread, { createdAt, ...facts }: EphemeralFacts): V2Thread {
    return this.#withLive(blank(thread.id, thread.config.cwd, Math.floor(createdAt / 1000)), thread, {
      ephemeral: true,
      ...facts,
      path: null,
      modelProvider: thread.config.modelProvider,
    });
  }

  ofStored(stored: StoredThread, header?: SessionMeta): V2Thread {
    const { source } = stored;
    const spawned = threadSpawnOf(source);
    const updatedAt = Math.floor(stored.updatedAt / 1000);
    const place = this.#sections.placeOf(stored.threadId);
    const view: V2Thread = {
      ...blank(stored.threadId, stored.cwd, Math.floor(stored.createdAt / 1000)),
      sessionId: header?.session_id ?? stored.parentThreadId ?? stored.threadId,
      forkedFromId: stored.forkedFromId,
      parentThreadId: stored.parentThreadId,
      preview: stored.preview,
      section: place?.section ?? null,
      sectionEnteredAt: place?.enteredAt ?? null,
      historyMode: stored.historyMode,
      model: stored.model,
      reasoningEffort: stored.reasoningEffort,
      modelProvider: stored.modelProvider ?? this.#manager.config.modelProvider,
      updatedAt,
      recencyAt: updatedAt,
      path: stored.rolloutPath,
      cliVersion: stored.cliVersion,
      originator: stored.originator,
      source: sourceToV2(source),
      threadSource: header?.thread_source ?? null,
      agentNickname: spawned?.agent_nickname ?? null,
      agentRole: spawned?.agent_role ?? null,
      gitInfo: stored.gitInfo,
      name: stored.name,
    };
    const live = this.#manager.loadedThread(stored.threadId);
    return live === undefined ? view : this.#withLive(view, live, {});
  }

  #withLive(view: V2Thread, thread: ServedThread, facts: Partial<V2Thread>): V2Thread {
    const { cwd, model, reasoningEffort } = thread.config;
    return {
      ...view,
      environments: [{ environmentId: "local", cwd, runtimeWorkspaceRoots: [cwd] }],
      model,
      reasoningEffort,
      status: this.#hub().statusOf(thread.id),
      path: thread.rolloutPath,
      cwd,
      canAcceptDirectInput: true,
      ...facts,
    };
  }

  /** The whole history as turns. @throws RolloutNotFoundError */
  async history(thread: ThreadLocator, signal?: AbortSignal): Promise<History> {
    const fold = new HistoryFold();
    for await (const page of this.#manager.store.load(thread, signal === undefined ? {} : { signal })) {
      for (const line of page) fold.add(line);
    }
    const live = typeof thread === "string" ? this.#manager.loadedThread(thread) : undefined;
    const turns = fold.finish(live?.activeTurn?.turnId);
    const running = live === undefined ? undefined : this.#hub().find(live.id)?.mapper.turn;
    if (running === undefined) return { turns };
    return { turns: turns.map((turn) => withOpenItems(turn, running, fold.nextOrdinal)) };
  }
}

/** The running turn with what has begun in it and is not stored yet, behind what is; another turn's command may be stored behind it. */
function withOpenItems(turn: HistoryTurn, { id, open }: RunningTurn, after: number): HistoryTurn {
  if (turn.id !== id) return turn;
  const stored = new Set(turn.items.map(({ item }) => item.id));
  const begun = [...open.values()].filter((item) => !stored.has(item.id) && !STREAMED.has(item.type));
  const items = [...turn.items, ...begun.map((item, index) => ({ ordinal: after + index, item }))];
  return { ...turn, items, turn: { ...turn.turn, items: items.map(({ item }) => item) } };
}

/** Shown when they are whole: what was streamed before somebody came is not told again. */
const STREAMED: ReadonlySet<string> = new Set(["agentMessage", "reasoning"]);

export const fullTurns = ({ turns }: History): V2Turn[] => turns.map(({ turn }) => turn);

const blank = (id: ThreadId, cwd: string, seconds: number): V2Thread => ({
  id,
  environments: null,
  extra: null,
  sessionId: id,
  forkedFromId: null,
  attachedToThreadId: null,
  parentThreadId: null,
  preview: "",
  ephemeral: false,
  section: null,
  sectionEnteredAt: null,
  projectId: null,
  historyMode: "paginated",
  modelProvider: "",
  model: null,
  reasoningEffort: null,
  createdAt: seconds,
  updatedAt: seconds,
  recencyAt: seconds,
  status: { type: "notLoaded" },
  path: null,
  cwd,
  cliVersion: VERSION,
  originator: null,
  source: "vscode",
  canAcceptDirectInput: null,
  threadSource: null,
  agentNickname: null,
  agentRole: null,
  gitInfo: null,
  name: null,
  daybreakEnabled: null,
  turns: [],
});

function sourceToV2(source: SessionSource): unknown {
  if (source === "mcp") return "appServer";
  if (typeof source === "string") return source;
  return { subAgent: source.subagent };
}

/** Files that name no mode get theirs from the store. */
export const modeOf = ({ history_mode }: SessionMeta): HistoryMode => history_mode ?? "paginated";

/** undefined: there is no such thread in the store. */
export const findStored = (manager: ServedThreads, threadId: ThreadId): Promise<StoredThread | undefined> =>
  ifStored(manager.store.get(threadId));
