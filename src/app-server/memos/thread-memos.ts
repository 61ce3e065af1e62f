/**
 * What clients leave with a thread beside its rollout: its goal, input that waits for its turn, tools and attachments of theirs. A file for each thread
 * that has any, in the home's `thread_memos`; without a home they last as long as the server.
 *
 * What this process has read or written counts for as long as it runs: one server of a home keeps a thread's memo.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { SkeinLogger } from "../../kernel/log.ts";
import { isUuid, parseThreadId, type ThreadId } from "../../protocol/ids.ts";
import { userInputSchema } from "../../protocol/user-input.ts";
import { readBytes } from "../../services/bounded-read.ts";
import { isMissing } from "../../services/io-failure.ts";
import { replaceFile } from "../../services/replace-file.ts";
import type { ThreadStore } from "../../store/thread-store.ts";
import { isNoState } from "../../thread/saved-state.ts";
import { submissionIdIn } from "../../thread/submission-ledger.ts";

export const goalStatusSchema = z.enum(["active", "paused", "blocked", "usageLimited", "budgetLimited", "complete"]);

const goalSchema = z.object({
  objective: z.string(),
  status: goalStatusSchema,
  tokenBudget: z.int().nullable(),
  tokensUsed: z.int().min(0),
  timeUsedSeconds: z.int().min(0),
  /** Unix seconds. */
  createdAt: z.int(),
  updatedAt: z.int(),
});
export type Goal = z.infer<typeof goalSchema>;

const queuedSchema = z.object({
  id: z.string(),
  input: z.array(userInputSchema),
  clientUserMessageId: z.string(),
  /** The client's own, given back as it came. */
  responsesapiClientMetadata: z.record(z.string(), z.string()).nullable(),
});
export type QueuedSubmission = z.infer<typeof queuedSchema>;

/** A tool that a client has brought to the thread. */
const clientToolSchema = z.object({
  name: z.string(),
  description: z.string(),
  parameters: z.record(z.string(), z.unknown()),
  namespace: z.object({ name: z.string(), description: z.string() }).nullable(),
});
export type ClientTool = z.infer<typeof clientToolSchema>;

const attachmentSchema = z.object({
  id: z.string(),
  attachmentType: z.string(),
  identityKey: z.string(),
  payload: z.unknown(),
  /** Unix seconds. */
  createdAt: z.int(),
});
export type Attachment = z.infer<typeof attachmentSchema>;

const memoSchema = z.object({
  goal: goalSchema.nullable(),
  queue: z.array(queuedSchema),
  tools: z.array(clientToolSchema).default([]),
  attachments: z.array(attachmentSchema).default([]),
});
export type Memo = z.infer<typeof memoSchema>;

const NOTHING: Memo = { goal: null, queue: [], tools: [], attachments: [] };

/** A queue of the longest inputs that anybody types. */
const MOST_BYTES = 64 * 1024 * 1024;

const SUFFIX = ".json";

const isNothing = ({ goal, queue, tools, attachments }: Memo): boolean =>
  goal === null && [queue, tools, attachments].every(({ length }) => length === 0);

export class ThreadMemos {
  readonly #folder: string | undefined;
  readonly #logger: SkeinLogger;
  readonly #store: Pick<ThreadStore, "load">;
  readonly #known = new Map<ThreadId, Memo>();
  /** The last write of each thread's file: they go one after another. */
  readonly #writing = new Map<ThreadId, Promise<void>>();

  /** @param home undefined: nothing is stored */
  constructor(home: string | undefined, { store, logger }: { store: Pick<ThreadStore, "load">; logger: SkeinLogger }) {
    this.#folder = home === undefined ? undefined : join(home, "thread_memos");
    this.#logger = logger;
    this.#store = store;
  }

  /** What is known without looking; a thread that nobody has asked for has nothing. */
  peek(threadId: ThreadId): Memo {
    return this.#known.get(threadId) ?? NOTHING;
  }

  /** @throws StoreIoError for a thread that has a queue and whose rollout can't be read */
  async read(threadId: ThreadId): Promise<Memo> {
    const known = this.#known.get(threadId);
    if (known !== undefined || this.#folder === undefined) return known ?? NOTHING;
    const stored = await this.#withoutTaken(threadId, await this.#stored(this.#pathOf(this.#folder, threadId)));
    const meanwhile = this.#known.get(threadId);
    if (meanwhile !== undefined) return meanwhile;
    if (stored !== NOTHING) this.#known.set(threadId, stored);
    return stored;
  }

  /** An earlier process may have died after it handed input over, and before it took it out of the queue. */
  async #withoutTaken(threadId: ThreadId, memo: Memo): Promise<Memo> {
    if (memo.queue.length === 0) return memo;
    const taken = new Set<string | undefined>();
    for await (const page of this.#store.load(threadId, { wants: isNoState }))
      for (const line of page) taken.add(submissionIdIn(line, threadId));
    return { ...memo, queue: memo.queue.filter(({ id }) => !taken.has(id)) };
  }

  /** Of every thread that has any. What is read for it is not kept. @throws an IO error */
  async *all(): AsyncGenerator<readonly [ThreadId, Memo]> {
    yield* [...this.#known];
    const folder = this.#folder;
    if (folder === undefined) return;
    const names = await readdir(folder).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    for (const name of names) {
      const id = name.slice(0, -SUFFIX.length);
      if (!name.endsWith(SUFFIX) || !isUuid(id)) continue;
      const threadId = parseThreadId(id);
      if (this.#known.has(threadId)) continue;
      yield [threadId, await this.#stored(this.#pathOf(folder, threadId))];
    }
  }

  /**
   * What follows from the memo as it is then: between looking and changing nothing else comes. Of one that was read before it counts at
   * once. Resolves with the memo as it was before, when the change is stored. @throws StoreIoError, and what `change` throws
   */
  async change(threadId: ThreadId, change: (memo: Memo) => Partial<Memo>): Promise<Memo> {
    if (!this.#known.has(threadId)) await this.read(threadId);
    const memo = this.peek(threadId);
    this.#known.set(threadId, { ...memo, ...change(memo) });
    await this.#write(threadId);
    return memo;
  }

  /** As {@link change}, for what nobody waits for; a failure is logged. */
  note(threadId: ThreadId, change: (memo: Memo) => Partial<Memo>): void {
    this.change(threadId, change).catch((err: unknown) => {
      this.#logger.warn({ err, threadId }, "a thread's memo could not be stored");
    });
  }

  /** The thread is gone for good. */
  async forget(threadId: ThreadId): Promise<void> {
    this.#known.set(threadId, NOTHING);
    await this.#write(threadId);
    this.#known.delete(threadId);
  }

  #pathOf(folder: string, threadId: ThreadId): string {
    return join(folder, `${threadId}${SUFFIX}`);
  }

  /** One that cannot be read counts as none, and is not overwritten before somebody changes it. */
  async #stored(path: string): Promise<Memo> {
    try {
      return memoSchema.parse(JSON.parse((await readBytes(path, MOST_BYTES)).toString("utf8")));
    } catch (err) {
      if (!isMissing(err)) this.#logger.warn({ err, path }, "a thread's memo could not be read");
      return NOTHING;
    }
  }

  #write(threadId: ThreadId): Promise<void> {
    const folder = this.#folder;
    if (folder === undefined) return Promise.resolve();
    const before = this.#writing.get(threadId) ?? Promise.resolve();
    const writing = before.catch(() => undefined).then(() => this.#replace(this.#pathOf(folder, threadId), threadId));
    this.#writing.set(threadId, writing);
    const done = () => {
      if (this.#writing.get(threadId) === writing) this.#writing.delete(threadId);
    };
    writing.then(done, done);
    return writing;
  }

  async #replace(path: string, threadId: ThreadId): Promise<void> {
    const memo = this.peek(threadId);
    if (isNothing(memo)) await rm(path, { force: true });
    else await replaceFile(path, JSON.stringify(memo));
  }

  /** Resolves when everything that was changed is stored, or has failed to be. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#writing.values());
  }
}
