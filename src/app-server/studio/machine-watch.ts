/** Tells one client in which states a thread's machines are. They are looked at, so that nothing of the thread knows of it. */
import type { Clock } from "../../kernel/clock.ts";
import type { ThreadManager } from "../../manager/thread-manager.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";
import { snapshotLookedAt } from "../../thread/looked-at.ts";
import type { MachinePlace, StateValue } from "./wire.ts";

const LOOK_MS = 100;

/** null where it is not in memory. Never its context. */
export function machinePlace(manager: ThreadManager, threadId: ThreadId, at: number): MachinePlace {
  const thread = manager.loadedThread(threadId);
  const own = thread === undefined ? undefined : snapshotLookedAt(thread);
  const child = isJsonObject(own) && isJsonObject(own.children) ? own.children.turn : undefined;
  const turn = snapshotOf(child);
  const retries = isJsonObject(turn) && isJsonObject(turn.context) ? turn.context.retries : 0;
  return {
    threadId,
    epoch: thread?.epoch ?? null,
    thread: stateOf(own),
    turn: stateOf(turn),
    retries: typeof retries === "number" ? retries : 0,
    approvals: thread?.pendingApprovals.length ?? 0,
    at,
  };
}

const snapshotOf = (actor: unknown): unknown =>
  typeof actor === "object" && actor !== null && "getSnapshot" in actor && typeof actor.getSnapshot === "function"
    ? actor.getSnapshot()
    : undefined;

const stateOf = (snapshot: unknown): StateValue | null =>
  isJsonObject(snapshot) && isStateValue(snapshot.value) ? snapshot.value : null;

const isStateValue = (value: unknown): value is StateValue =>
  typeof value === "string" || (isJsonObject(value) && Object.values(value).every(isStateValue));

export class MachineWatch implements Disposable {
  readonly #options: { readonly manager: ThreadManager; readonly clock: Clock; readonly threadId: ThreadId };
  readonly #tell: (place: MachinePlace) => void;
  #last: string;
  #timer: unknown;

  constructor(
    options: { readonly manager: ThreadManager; readonly clock: Clock; readonly threadId: ThreadId },
    first: MachinePlace,
    tell: (place: MachinePlace) => void,
  ) {
    this.#options = options;
    this.#tell = tell;
    this.#last = wordsOf(first);
    this.#arm();
  }

  #arm(): void {
    const { manager, clock, threadId } = this.#options;
    this.#timer = clock.background(() => {
      const place = machinePlace(manager, threadId, clock.now());
      const words = wordsOf(place);
      if (words !== this.#last) this.#tell(place);
      this.#last = words;
      this.#arm();
    }, LOOK_MS);
  }

  [Symbol.dispose](): void {
    this.#options.clock.clearTimeout(this.#timer);
  }
}

const wordsOf = ({ at: _, ...place }: MachinePlace): string => JSON.stringify(place);
