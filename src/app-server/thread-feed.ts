/**
 * What one thread tells its clients: its events are mapped once and go to everyone who has subscribed.
 *
 * - Each subscriber sees everything from its subscription on, in order; what comes while a request of its own about
 *   the thread is being answered waits for the answer.
 * - A change of status goes to every client, whether it follows the thread or not.
 * - `codex/event/*` goes to v1 listeners only; they get v2's notifications as well, as 0.87's do.
 */
import { SparseMap } from "../kernel/sparse-map.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { type ApprovalMsg, isApproval, isElicitation, isQuestion } from "./asked-msg.ts";
import type { Connection } from "./connection.ts";
import type { ServerRequest } from "./json-rpc.ts";
import { type Spoken, toldToV1, V1Voice } from "./v1/map-events.ts";
import { changesToV2 } from "./v2/items.ts";
import { EventMapper } from "./v2/map-events.ts";
import { commandBegun } from "./v2/tool-items.ts";
import type { Told } from "./v2/wire-types.ts";

export type Subscription = {
  readonly connection: Connection;
  /** Subscribed by a v2 method. */
  isV2: boolean;
  /** Looks on: is asked nothing, and follows no agents. With `deltas` false it is told whole items only. */
  looksOn: { readonly deltas: boolean } | undefined;
  /** Whether a v2 client wants the model's items as they are. */
  rawItems: boolean;
  /** v1's listeners by their subscription ids. */
  readonly listeners: SparseMap<string, { readonly rawItems: boolean }>;
  /** What waits until an answer has gone out: see `hold`. */
  held: (() => void)[] | undefined;
};

/** What became of an input that was submitted under this id. */
export type SubmittedInput = { startedTurn: string | undefined; joinedTurn: string | undefined };

/** Told by 0.87, and not any more by 0.169. */
const isForV2 = ({ method }: Told): boolean =>
  method !== "thread/compacted" && method !== "item/fileChange/outputDelta";

export class ThreadFeed {
  readonly threadId: ThreadId;
  readonly mapper: EventMapper;
  readonly subscriptions = new Map<Connection, Subscription>();
  /** Inputs whose fate is not known yet. */
  readonly submitted = new SparseMap<string, SubmittedInput>();
  /** Turns that were promised and wait for the running one to end; true: to be interrupted as soon as they begin. */
  readonly promised = new SparseMap<string, boolean>();
  /** What a v1 conversation says before its first listener comes: it waits for that one, as 0.87's does. */
  backlog: { readonly owner: Connection; told: Told[] } | undefined;
  readonly #voice: V1Voice;
  readonly #watchers = new SparseMap<(event: ThreadEvent | undefined) => void, true>();

  readonly #tellOthers: TellOthers;

  /** @param tellOthers tells the clients that do not follow the thread */
  constructor(threadId: ThreadId, tellOthers: TellOthers) {
    this.threadId = threadId;
    this.#tellOthers = tellOthers;
    this.mapper = new EventMapper(threadId);
    this.#voice = new V1Voice(threadId);
  }

  /** What is told from now on waits for the first listener of this client, unless it waits for another's already. */
  keepFor(owner: Connection, told: Told[]): void {
    this.backlog ??= { owner, told };
  }

  /** The client has gone. */
  dropBacklogOf(owner: Connection): void {
    if (this.backlog?.owner === owner) this.backlog = undefined;
  }

  get isNeeded(): boolean {
    return (
      this.subscriptions.size > 0 ||
      this.backlog !== undefined ||
      this.mapper.turn !== undefined ||
      this.promised.size > 0 ||
      this.#watchers.size > 0
    );
  }

  onEvent(event: ThreadEvent, now: number): void {
    this.#note(event);
    for (const watcher of this.#watchers.keys()) watcher(event);
    const { msg } = event;
    // A thread that waits for somebody says so, also while nobody follows it.
    const told = isApproval(msg)
      ? this.#approvalTold(msg, now)
      : isElicitation(msg)
        ? this.mapper.setStatus({ type: "active", activeFlags: ["waitingOnApproval"] })
        : isQuestion(msg)
          ? this.mapper.setStatus({ type: "active", activeFlags: ["waitingOnUserInput"] })
          : this.mapper.map(event, now);
    if (this.subscriptions.size > 0 || this.backlog !== undefined) this.#send(event, told);
    this.#announce(told);
  }

  #note({ id, msg }: ThreadEvent): void {
    if (msg.type === "task_started") {
      const submitted = this.submitted.get(id);
      if (submitted !== undefined) submitted.startedTurn = msg.turn_id ?? id;
    } else if (msg.type === "item_started") {
      const submitted = this.submitted.get(id);
      if (submitted !== undefined) submitted.joinedTurn = msg.turn_id;
    }
  }

  /** The status first, then the item that waits, then (by the caller) the request. */
  #approvalTold(msg: ApprovalMsg, now: number): Told[] {
    const { mapper } = this;
    const told = mapper.setStatus({ type: "active", activeFlags: ["waitingOnApproval"] });
    const body =
      msg.type === "exec_approval_request"
        ? commandBegun({ ...msg, source: "agent" })
        : { type: "fileChange", id: msg.call_id, changes: changesToV2(msg.changes), status: "inProgress" };
    return [...told, ...mapper.asked(body, now)];
  }

  #send(event: ThreadEvent, told: readonly Told[]): void {
    const isRaw = event.msg.type === "raw_response_item";
    const spoken = this.#voice.speak(event, { told, turnId: this.mapper.turn?.id ?? event.id });
    if (this.backlog !== undefined && !isRaw) keep(this.backlog, spoken);
    for (const subscription of this.subscriptions.values()) {
      const { isV2, rawItems } = subscription;
      const isHeard = wantsEvent(subscription, isRaw);
      if (isHeard && spoken.event !== undefined) deliver(subscription, spoken.event);
      if (isV2)
        deliver(subscription, ...told.filter((each) => isForV2(each) && (rawItems || each.method !== RAW_ITEM)));
      else if (isHeard) deliver(subscription, ...spoken.derived);
    }
  }

  #announce(told: readonly Told[]): void {
    const statuses = told.filter(({ method }) => method === STATUS);
    if (statuses.length === 0) return;
    const followers = [...this.subscriptions.values()].filter(({ isV2 }) => isV2);
    const own = new Set(followers.map(({ connection }) => connection));
    for (const each of statuses) this.#tellOthers(own, each);
  }

  /** The first listener of a v1 conversation gets what was said before it came. */
  flushBacklog(connection: Connection): void {
    const told = this.backlog?.told ?? [];
    this.backlog = undefined;
    for (const each of told) connection.tell(each);
  }

  /** Tells all subscribers something that is no event of the thread. */
  tell(...told: readonly Told[]): void {
    for (const subscription of this.subscriptions.values()) {
      deliver(subscription, ...(subscription.isV2 ? told : toldToV1(told)));
    }
    this.#announce(told);
  }

  /** A question takes its place among what is told. */
  ask(connection: Connection, request: ServerRequest): void {
    const held = this.subscriptions.get(connection)?.held;
    if (held !== undefined) held.push(() => connection.ask(request));
    else connection.ask(request);
  }

  subscribe(connection: Connection): Subscription {
    const found = this.subscriptions.get(connection);
    if (found !== undefined) return found;
    const made: Subscription = {
      connection,
      isV2: false,
      looksOn: undefined,
      rawItems: false,
      listeners: new SparseMap(),
      held: undefined,
    };
    this.subscriptions.set(connection, made);
    return made;
  }

  /** What the thread says to this client waits until the returned function is called. */
  hold(connection: Connection): () => void {
    const subscription = this.subscriptions.get(connection);
    if (subscription === undefined || subscription.held !== undefined) return () => undefined;
    subscription.held = [];
    return () => {
      const held = subscription.held ?? [];
      subscription.held = undefined;
      for (const say of held) say();
    };
  }

  /** Calls back for each event, and with undefined when the thread has ended. */
  watch(watcher: (event: ThreadEvent | undefined) => void): () => void {
    this.#watchers.set(watcher, true);
    return () => this.#watchers.delete(watcher);
  }

  /** The thread has ended for good. */
  close(now: number): void {
    for (const watcher of this.#watchers.keys()) watcher(undefined);
    this.#watchers.clear();
    this.promised.clear();
    this.tell(...this.mapper.lost(now), ...this.mapper.setStatus({ type: "notLoaded" }));
  }
}

/** Tells something to the clients that are not among the followers. */
export type TellOthers = (followers: ReadonlySet<Connection>, told: Told) => void;

const STATUS = "thread/status/changed";
const RAW_ITEM = "rawResponseItem/completed";
const BACKLOG = 4_096;

function keep(backlog: { told: Told[] }, { event, derived }: Spoken): void {
  if (event !== undefined) backlog.told.push(event);
  backlog.told.push(...derived);
  if (backlog.told.length > BACKLOG) backlog.told.splice(0, backlog.told.length - BACKLOG);
}

/** v2's raw items are for those who asked; v1's listeners say it each for itself. */
const wantsEvent = ({ listeners }: Subscription, isRaw: boolean): boolean =>
  isRaw ? [...listeners.values()].some(({ rawItems }) => rawItems) : listeners.size > 0;

function deliver({ connection, held, looksOn }: Subscription, ...told: readonly Told[]): void {
  for (const each of told) {
    if (looksOn?.deltas === false && /delta$/i.test(each.method)) continue;
    if (held !== undefined) held.push(() => connection.tell(each));
    else connection.tell(each);
  }
}
