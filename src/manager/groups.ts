import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { InvalidRequestError, ManagerClosedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import type { NewThread } from "../thread/thread.ts";
import { type GroupHost, LiveGroup } from "./group.ts";
import { type GroupOptions, groupRuleOf, parseGroupOptions } from "./group-options.ts";
import { GroupRecord, groupIdOf } from "./group-record.ts";
import type { MemberLives } from "./member-lives.ts";
import type { Supervision } from "./options.ts";
import type { Escalation } from "./thread-group.ts";
import type { ThreadOptions } from "./thread-options.ts";

/** Whose groups they are. */
export interface GroupsHost {
  readonly clock: Clock;
  readonly over: AbortSignal;
  readonly logger: SkeinLogger;
  readonly supervision: Supervision;
  readonly store: ThreadStore;
  readonly cwd: string;
  readonly isClosing: boolean;
  readonly maker: { spawn(config: ThreadConfig | undefined, options: ThreadOptions): Promise<NewThread> };
  discard(threadId: ThreadId): Promise<void>;
  locate(threadId: ThreadId): unknown;
}

/** The groups of one manager, and which of them each thread is in. */
export class Groups {
  readonly watchers = new Set<(escalation: Escalation) => void>();
  readonly #host: GroupsHost;
  readonly #ports: GroupHost;
  readonly #named = new Map<string, Promise<LiveGroup>>();
  readonly #all = new Set<LiveGroup>();
  readonly #owners = new Map<ThreadId, LiveGroup>();

  constructor(host: GroupsHost, lives: MemberLives) {
    this.#host = host;
    this.#ports = {
      clock: host.clock,
      over: host.over,
      logger: host.logger,
      random: host.supervision.random,
      lives,
      get isClosing() {
        return host.isClosing;
      },
      spawn: (config, options) => host.maker.spawn(config, options),
      discard: (threadId) => host.discard(threadId),
      isKnown: async (threadId) => (await host.locate(threadId)) !== undefined,
      claim: (threadId, group) => this.#claim(threadId, group),
      unclaim: (threadId, group) => this.#unclaim(threadId, group),
      release: (group) => this.#release(group),
      reclaim: (group) => this.#reclaim(group),
      openInner: (options, parent) => this.#open(parseGroupOptions(options), parent),
      escalate: (escalation) => {
        for (const watcher of this.watchers) watcher(escalation);
      },
    };
  }

  /**
   * A new group; or, by its name, the one that is open or stored, with its members.
   * @throws InvalidRequestError; ThreadBusyError when another manager has it; StoreIoError
   */
  async open(options: GroupOptions): Promise<LiveGroup> {
    return this.#open(parseGroupOptions(options), undefined);
  }

  #open(options: GroupOptions, parent: LiveGroup | undefined): Promise<LiveGroup> {
    if (this.#host.isClosing) throw new ManagerClosedError();
    const { name } = options;
    if (name === undefined) return this.#make(options, parent);
    const known = this.#named.get(name);
    if (known !== undefined) return this.#sameAs(known, options);
    const opening = this.#make(options, parent);
    this.#named.set(name, opening);
    opening.catch(() => this.#named.delete(name));
    return opening;
  }

  /** @throws InvalidRequestError for other settings than those of the group that is open */
  async #sameAs(known: Promise<LiveGroup>, options: GroupOptions): Promise<LiveGroup> {
    const group = await known;
    const wanted = groupRuleOf(options, this.#host.supervision, { isInner: false, before: group.rule });
    if (JSON.stringify(Object.entries(wanted).sort()) !== JSON.stringify(Object.entries(group.rule).sort())) {
      throw new InvalidRequestError(
        `group \`${group.name}\` is open with other settings; ask for it by its name alone`,
      );
    }
    return group;
  }

  async #make(options: GroupOptions, parent: LiveGroup | undefined): Promise<LiveGroup> {
    const { store, clock, cwd, supervision } = this.#host;
    const { name } = options;
    const onFailure = (err: Error) => this.#host.logger.error({ name, err }, "a group is not being stored");
    const record =
      name === undefined ? undefined : await GroupRecord.open(store, { name, cwd, now: clock.now(), onFailure });
    const rule = groupRuleOf(options, supervision, { isInner: parent !== undefined, before: record?.stored.rule });
    const group = new LiveGroup(this.#ports, { id: groupIdOf(name), name, rule, record, parent: undefined });
    this.#all.add(group);
    try {
      const { members = [], state } = record?.stored ?? {};
      // Of one that has stopped, the threads are by themselves.
      const own = state === "stopped" ? members.filter(({ kind }) => kind === "group") : members;
      for (const member of own) await this.#recall(group, member);
      await group.begin();
    } catch (error) {
      this.#forget(group);
      await group.close();
      throw error;
    }
    return group;
  }

  async #recall(
    group: LiveGroup,
    { id, kind, name }: { id: ThreadId; kind: "thread" | "group"; name?: string | undefined },
  ) {
    if (kind === "thread") return this.#claim(id, group);
    if (name !== undefined) group.adopt(await this.#open({ name }, group));
  }

  #claim(threadId: ThreadId, group: LiveGroup): void {
    const owner = this.#owners.get(threadId);
    if (owner !== undefined && owner !== group) {
      throw new InvalidRequestError(`thread ${threadId} is in group ${owner.name ?? owner.id} already`);
    }
    this.#owners.set(threadId, group);
  }

  #unclaim(threadId: ThreadId, group: LiveGroup): void {
    if (this.#owners.get(threadId) === group) this.#owners.delete(threadId);
  }

  #forget(group: LiveGroup): void {
    this.#all.delete(group);
    for (const threadId of group.threads()) this.#unclaim(threadId, group);
  }

  /** A stopped group decides nothing. One that is stored keeps its record, and its name; any other is known to its holders alone. */
  #release(group: LiveGroup): void {
    this.#forget(group);
    if (group.name !== undefined) this.#all.add(group);
  }

  /** @returns those that are in another group by now */
  #reclaim(group: LiveGroup): readonly ThreadId[] {
    this.#all.add(group);
    const own = group.members.filter(({ kind }) => kind === "thread").map(({ id }) => id);
    for (const threadId of own) if (!this.#owners.has(threadId)) this.#owners.set(threadId, group);
    return own.filter((threadId) => this.#owners.get(threadId) !== group);
  }

  /** What is left of groups: for tests, which expect nothing once all that are not stored have stopped. */
  left(): { readonly groups: number; readonly members: number } {
    return { groups: this.#all.size, members: this.#owners.size };
  }

  /** Whose decision the end of a thread is; undefined for a thread by itself. */
  ownerOf(threadId: ThreadId): LiveGroup | undefined {
    return this.#host.isClosing ? undefined : this.#owners.get(threadId);
  }

  /** For each thread of a group who joined it next; the threads of a group in a group stand in its place. */
  joinedAfter(): ReadonlyMap<ThreadId, ThreadId> {
    const after = new Map<ThreadId, ThreadId>();
    for (const group of this.#all) {
      if (group.parent !== undefined) continue;
      const threads = group.threads();
      for (const [at, threadId] of threads.entries()) {
        const next = threads[at + 1];
        if (next !== undefined) after.set(threadId, next);
      }
    }
    return after;
  }

  /** The manager ends: nothing is decided any more. */
  async close(): Promise<void> {
    await Promise.all([...this.#all].map((group) => group.close()));
    this.#owners.clear();
    this.#named.clear();
  }
}
