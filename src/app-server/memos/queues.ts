/**
 * Input that waits for its turn. A turn that is completed or has failed starts the next one; one that was interrupted does
 * not: then the queue stands until somebody starts it, or until the next turn has ended.
 */

import type { SkeinLogger } from "../../kernel/log.ts";
import { newTurnId, type ThreadId } from "../../protocol/ids.ts";
import type { UserInput } from "../../protocol/user-input.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServedThread, ServedThreads } from "../served-threads.ts";
import type { Told } from "../v2/wire-types.ts";
import type { QueuedSubmission, ThreadMemos } from "./thread-memos.ts";

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
  /** Threads whose next input is being handed over: it is in no queue any more, and in no turn yet. */
  readonly #starting = new Set<ThreadId>();

  constructor(parts: QueueParts) {
    this.#parts = parts;
  }

  async list(threadId: ThreadId): Promise<readonly QueuedSubmission[]> {
    return (await this.#parts.memos.read(threadId)).queue;
  }

  async add(threadId: ThreadId, submission: QueuedSubmission): Promise<void> {
    await this.#change(threadId, [...(await this.list(threadId)), submission]);
    this.goOn(threadId);
  }

  /** @throws RpcError */
  async update(threadId: ThreadId, id: string, input: UserInput[]): Promise<QueuedSubmission> {
    const changed = { ...this.#find(await this.list(threadId), id), input };
    await this.#change(
      threadId,
      (await this.list(threadId)).map((each) => (each.id === id ? changed : each)),
    );
    return changed;
  }

  /** @throws RpcError */
  async reorder(threadId: ThreadId, ids: readonly string[]): Promise<void> {
    const queue = await this.list(threadId);
    const isWhole = ids.length === queue.length && new Set(ids).size === ids.length;
    if (!isWhole || queue.some(({ id }) => !ids.includes(id))) {
      throw invalidRequest("queue reorder must include every queued submission exactly once");
    }
    await this.#change(
      threadId,
      ids.map((id) => this.#find(queue, id)),
    );
  }

  /** false: it was not there. */
  async delete(threadId: ThreadId, id: string): Promise<boolean> {
    const queue = await this.list(threadId);
    const rest = queue.filter((each) => each.id !== id);
    if (rest.length === queue.length) return false;
    await this.#change(threadId, rest);
    return true;
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

  async #start(thread: ServedThread, { id, input, clientUserMessageId }: QueuedSubmission): Promise<string> {
    const before = this.#parts.memos.peek(thread.id).queue;
    this.#starting.add(thread.id);
    try {
      const turnId = newTurnId();
      const op = { type: "user_input", items: input, client_id: clientUserMessageId } as const;
      this.#parts.memos.note(thread.id, { queue: before.filter((each) => each.id !== id) });
      this.#tell(thread.id);
      this.#parts.announceTurn(thread);
      await thread.submitWithId({ id: turnId, isNew: true, op });
      return turnId;
    } catch (error) {
      const { queue } = this.#parts.memos.peek(thread.id);
      const back = before.find((each) => each.id === id);
      if (back !== undefined) this.#parts.memos.note(thread.id, { queue: [back, ...queue] });
      throw error;
    } finally {
      this.#starting.delete(thread.id);
    }
  }

  #find(queue: readonly QueuedSubmission[], id: string): QueuedSubmission {
    const found = queue.find((each) => each.id === id);
    if (found === undefined) throw invalidRequest(`queued submission not found: ${id}`);
    return found;
  }

  async #change(threadId: ThreadId, queue: QueuedSubmission[]): Promise<void> {
    await this.#parts.memos.change(threadId, { queue });
    this.#tell(threadId);
  }

  #tell(threadId: ThreadId): void {
    this.#parts.broadcast({ method: "thread/queue/changed", params: { threadId } });
  }
}
