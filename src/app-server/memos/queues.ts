/**
 * Input that waits for its turn. A turn that is completed or has failed starts the next one; one that was interrupted does
 * not: then the queue stands until somebody starts it, or until the next turn has ended.
 */

import type { SkeinLogger } from "../../kernel/log.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { UserInput } from "../../protocol/user-input.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServedThread, ServedThreads } from "../served-threads.ts";
import type { Told } from "../v2/wire-types.ts";
import type { Memo, QueuedSubmission, ThreadMemos } from "./thread-memos.ts";

export type QueueParts = {
  readonly manager: Pick<ServedThreads, "loadedThread">;
  readonly memos: ThreadMemos;
  readonly logger: SkeinLogger;
  readonly broadcast: (told: Told) => void;
  /** Tells what is told before each turn. */
  readonly announceTurn: (thread: ServedThread) => void;
  /** Once it has fired, what is in a queue stands there for the next server. */
  readonly ending: AbortSignal;
};

export class Queues {
  readonly #parts: QueueParts;
  /** The input that is being handed over: nobody sees it in its queue any more, and it leaves that when its thread has stored it. */
  readonly #starting = new Map<ThreadId, string>();

  constructor(parts: QueueParts) {
    this.#parts = parts;
  }

  async list(threadId: ThreadId): Promise<readonly QueuedSubmission[]> {
    return this.#shown(threadId, await this.#parts.memos.read(threadId));
  }

  #shown(threadId: ThreadId, { queue }: Pick<Memo, "queue">): readonly QueuedSubmission[] {
    return queue.filter(({ id }) => id !== this.#starting.get(threadId));
  }

  async add(threadId: ThreadId, submission: QueuedSubmission): Promise<void> {
    await this.#change(threadId, ({ queue }) => [...queue, submission]);
    this.goOn(threadId);
  }

  /** @throws RpcError */
  async update(threadId: ThreadId, id: string, input: UserInput[]): Promise<QueuedSubmission> {
    const before = await this.#change(threadId, (memo) => {
      this.#find(this.#shown(threadId, memo), id);
      return memo.queue.map((each) => (each.id === id ? { ...each, input } : each));
    });
    return { ...this.#find(before.queue, id), input };
  }

  /** @throws RpcError */
  async reorder(threadId: ThreadId, ids: readonly string[]): Promise<void> {
    await this.#change(threadId, (memo) => {
      const queue = this.#shown(threadId, memo);
      const isWhole = ids.length === queue.length && new Set(ids).size === ids.length;
      if (!isWhole || queue.some(({ id }) => !ids.includes(id))) {
        throw invalidRequest("queue reorder must include every queued submission exactly once");
      }
      return [...memo.queue.filter((each) => !queue.includes(each)), ...ids.map((id) => this.#find(queue, id))];
    });
  }

  /** false: it was not there. */
  async delete(threadId: ThreadId, id: string): Promise<boolean> {
    const isThere = (memo: Memo) => this.#shown(threadId, memo).some((each) => each.id === id);
    if (!isThere(await this.#parts.memos.read(threadId))) return false;
    const before = await this.#change(threadId, (memo) =>
      isThere(memo) ? memo.queue.filter((each) => each.id !== id) : memo.queue,
    );
    return before.queue.some((each) => each.id === id);
  }

  /** Starts the named input, or the first. @throws RpcError */
  async start(thread: ServedThread, named: string | undefined): Promise<string> {
    const queue = await this.list(thread.id);
    if (thread.activeTurn !== undefined || this.#starting.has(thread.id)) {
      throw invalidRequest("thread already has an active or pending turn");
    }
    const [first] = queue;
    if (named === undefined && first === undefined) throw invalidRequest("queue is empty");
    return this.#start(thread, named === undefined ? (first as QueuedSubmission) : this.#find(queue, named));
  }

  /** Starts the next input, if there is one and the thread has nothing to do. false: there was nothing to start. */
  goOn(threadId: ThreadId): boolean {
    if (this.#parts.ending.aborted) return false;
    const [next] = this.#parts.memos.peek(threadId).queue;
    const thread = this.#parts.manager.loadedThread(threadId);
    if (next === undefined || thread === undefined || thread.activeTurn !== undefined) return false;
    if (this.#starting.has(threadId)) return true;
    this.#start(thread, next).catch((err: unknown) => {
      this.#parts.logger.warn({ err, threadId }, "input that waited could not be handed over, and waits on");
    });
    return true;
  }

  /** The turn bears the submission's id: whoever hands it over again, after a death in between, starts no second one. */
  async #start(thread: ServedThread, { id, input, clientUserMessageId }: QueuedSubmission): Promise<string> {
    this.#starting.set(thread.id, id);
    this.#tell(thread.id);
    try {
      this.#parts.announceTurn(thread);
      const op = { type: "user_input", items: input, client_id: clientUserMessageId } as const;
      await thread.submitWithId({ id, op });
      this.#parts.memos.note(thread.id, ({ queue }) => ({ queue: queue.filter((each) => each.id !== id) }));
      return id;
    } finally {
      this.#starting.delete(thread.id);
    }
  }

  #find(queue: readonly QueuedSubmission[], id: string): QueuedSubmission {
    const found = queue.find((each) => each.id === id);
    if (found === undefined) throw invalidRequest(`queued submission not found: ${id}`);
    return found;
  }

  async #change(threadId: ThreadId, change: (memo: Memo) => QueuedSubmission[]): Promise<Memo> {
    const before = await this.#parts.memos.change(threadId, (memo) => ({ queue: change(memo) }));
    this.#tell(threadId);
    return before;
  }

  #tell(threadId: ThreadId): void {
    this.#parts.broadcast({ method: "thread/queue/changed", params: { threadId } });
  }
}
