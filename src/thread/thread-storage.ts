/** What a life stores, by the writer whose lease it holds, until it gives that back. */
import { backoffDelay } from "../kernel/backoff.ts";
import { type Clock, sleep } from "../kernel/clock.ts";
import { ThreadBusyError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ThreadWriter } from "../store/thread-store.ts";
import type { LifeEnd } from "./life-end.ts";
import { leaseTracing, type StoreWriteTrace, storeWriteTracing } from "./store-traces.ts";

/** Whose life it is. */
export interface StoredThread {
  readonly threadId: ThreadId;
  readonly epoch: number;
  readonly env: { readonly scope: object; readonly clock: Clock };
  readonly writer: ThreadWriter;
  /** The turn that runs. */
  readonly turnId: string | undefined;
  readonly ended: LifeEnd | undefined;
  end(reason: "lost", error: unknown): void;
}

/** How long a turn's end is tried to be stored: about three seconds. */
const STORE_TRIES = 5;
const STORE_BACKOFF = { baseMs: 100, factor: 2 } as const;

/** Nobody writes its fields but these methods. */
export class ThreadStorage {
  readonly #thread: StoredThread;
  /** The lease is given back. */
  #isReleased = false;

  constructor(thread: StoredThread) {
    this.#thread = thread;
  }

  flush(): Promise<void> {
    return this.#stored("flush");
  }

  sync(): Promise<void> {
    return this.#stored("sync");
  }

  #stored(kind: StoreWriteTrace["kind"]): Promise<void> {
    const { threadId, env, turnId, writer } = this.#thread;
    return storeWriteTracing.run(
      () => ({ scope: env.scope, threadId, turnId, kind }),
      () => writer[kind](),
    );
  }

  async syncOrEnd(): Promise<void> {
    const thread = this.#thread;
    for (let attempt = 1; thread.ended === undefined; attempt += 1) {
      try {
        await this.sync();
        return;
      } catch (error) {
        // Where another writer has the thread, no try can succeed any more.
        if (error instanceof ThreadBusyError || attempt > STORE_TRIES) thread.end("lost", error);
        else if (thread.ended === undefined) await sleep(thread.env.clock, backoffDelay(attempt, STORE_BACKOFF));
      }
    }
  }

  /** Stores what was said, and gives the lease back. */
  close(): Promise<void> {
    const { threadId, epoch, env, writer } = this.#thread;
    if (this.#isReleased) return writer.close();
    return leaseTracing.run(
      () => ({ scope: env.scope, threadId, kind: "release", epoch }),
      async () => {
        await writer.close();
        this.#isReleased = true;
      },
    );
  }
}
