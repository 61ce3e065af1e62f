/**
 * Model clients by what they are made of, for threads that come and go.
 *
 * - Who asks with an equal key shares a client; nobody else does.
 * - A client that nobody has asked for UNUSED_MS goes, and the one used longest ago where there are more than MAX_CLIENTS.
 * - One that goes finishes its running answers, then closes its connections. Its holders may go on to use it: it
 *   is then made anew, and closes after that answer.
 */
import { LRUCache } from "lru-cache";
import type { Clock } from "../kernel/clock.ts";
import type { ModelClient, ModelEvent, ModelRequest } from "./model-client.ts";
import { clientClosed } from "./model-failure.ts";

const MAX_CLIENTS = 64;
const UNUSED_MS = 5 * 60_000;

export class ClientPool {
  readonly #clock: Clock;
  readonly #clients = new LRUCache<string, PooledClient>({
    max: MAX_CLIENTS,
    dispose: (client) => void client.retire(),
  });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many clients are kept. */
  get size(): number {
    return this.#clients.size;
  }

  /** @param make makes the client of this key, at its first request; what it throws is thrown at once */
  clientFor(key: string, make: () => ModelClient): ModelClient {
    const known = this.#clients.get(key);
    if (known !== undefined) return known;
    const client = new PooledClient(make, { clock: this.#clock, onUnused: () => this.#clients.delete(key) });
    this.#clients.set(key, client);
    return client;
  }

  /** Closes every client at once; answers that are under way fail. */
  async close(): Promise<void> {
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    await Promise.all(clients.map((client) => client.close()));
  }
}

class PooledClient implements ModelClient {
  readonly providerId: string;
  readonly #make: () => ModelClient;
  readonly #clock: Clock;
  readonly #onUnused: () => void;
  #client: ModelClient | undefined;
  #answers = 0;
  #isRetired = false;
  #isClosed = false;
  #timer: unknown;

  constructor(make: () => ModelClient, { clock, onUnused }: { clock: Clock; onUnused: () => void }) {
    this.#make = make;
    this.#clock = clock;
    this.#onUnused = onUnused;
    this.#client = make();
    this.providerId = this.#client.providerId;
    this.#wait();
  }

  async *stream(request: ModelRequest, options: { signal: AbortSignal }): AsyncGenerator<ModelEvent, void> {
    if (this.#isClosed) throw clientClosed();
    this.#answers += 1;
    this.#stopWaiting();
    try {
      this.#client ??= this.#make();
      yield* this.#client.stream(request, options);
    } finally {
      this.#answers -= 1;
      await this.#rest();
    }
  }

  /** The pool keeps it no longer. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    await this.#rest();
  }

  /** Ends whatever it does, for good. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#letGo();
  }

  async #letGo(): Promise<void> {
    this.#stopWaiting();
    const client = this.#client;
    this.#client = undefined;
    await client?.close?.();
  }

  async #rest(): Promise<void> {
    if (this.#answers > 0) return;
    if (this.#isRetired) await this.#letGo();
    else this.#wait();
  }

  #wait(): void {
    this.#stopWaiting();
    this.#timer = this.#clock.background(this.#onUnused, UNUSED_MS);
  }

  #stopWaiting(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
