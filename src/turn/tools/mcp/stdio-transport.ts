import type { JSONRPCMessage, ReadBuffer, Transport } from "@modelcontextprotocol/client";
import type { Clock } from "../../../kernel/clock.ts";
import { ProcessGroup } from "../../../process/process-group.ts";

/** How long a server may take to end by itself once its input is closed. */
const CLOSE_GRACE_MS = 500;

/** A message that the server cannot have read: it was gone before. */
export class NotDeliveredError extends Error {
  override name = "NotDeliveredError";
}

export type StdioOptions = {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly clock: Clock;
  /** The client library's own framing. */
  readonly framing: { readonly buffer: ReadBuffer; readonly serialize: (message: JSONRPCMessage) => string };
};

/** An MCP server as a child process. The library's own transport would not end what the server itself has started. */
export class StdioTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  readonly #options: StdioOptions;
  #group: ProcessGroup | undefined;
  #ended: Promise<void> | undefined;

  constructor(options: StdioOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const group = new ProcessGroup(this.#options, { clock: this.#options.clock, stdin: "pipe" });
    const { child } = group;
    this.#group = group;
    this.#ended = new Promise((resolve) => {
      child.once("exit", resolve);
      child.once("error", resolve);
    });
    child.stderr?.resume();
    child.stdin?.on("error", (error) => this.onerror?.(error));
    child.stdout?.on("data", (chunk: Buffer) => this.#read(chunk));
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    child.on("error", (error) => this.onerror?.(error));
    child.once("close", () => this.onclose?.());
  }

  #read(chunk: Buffer): void {
    const { buffer } = this.#options.framing;
    try {
      buffer.append(chunk);
    } catch (error) {
      // A message that does not fit: what follows could not be told apart from it.
      this.onerror?.(error as Error);
      this.#group?.kill();
      return;
    }
    for (;;) {
      try {
        const message = buffer.readMessage();
        if (message === null) return;
        this.onmessage?.(message);
      } catch (error) {
        this.onerror?.(error as Error);
      }
    }
  }

  send(message: JSONRPCMessage): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stdin = this.#group?.child.stdin;
    const undelivered = (cause?: Error) => reject(new NotDeliveredError("the MCP server has ended", { cause }));
    if (!stdin?.writable || this.#group?.hasExited) undelivered();
    else stdin.write(this.#options.framing.serialize(message), (error) => (error ? undelivered(error) : resolve()));
    return promise;
  }

  /** Closes the server's input and gives it a moment; then ends it with everything that it started. */
  async close(): Promise<void> {
    const group = this.#group;
    if (group === undefined) return;
    group.child.stdin?.end();
    const { clock } = this.#options;
    const timer = clock.setTimeout(() => group.terminate(), CLOSE_GRACE_MS);
    await this.#ended;
    clock.clearTimeout(timer);
    group.kill();
  }
}
