/** A program's connection to a cluster. */
import * as z from "zod";
import { parseWith } from "../protocol/validation.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import type { Cluster } from "./cluster-face.ts";
import { Ingress } from "./ingress.ts";
import { RemoteThreads } from "./remote-threads.ts";

/** How a program reaches a cluster. */
export type ConnectOptions = {
  /** The engine's ingress, such as `http://127.0.0.1:8080`. */
  readonly ingress: string;
  /** The store that the workers share: histories are then read from it, and not over a worker. It stays open. */
  readonly store?: ThreadStore | undefined;
  /** Ends the connection: what waits rejects with its reason. The threads go on. */
  readonly signal?: AbortSignal | undefined;
  /** How long an engine that can't be reached is tried again. Default 30,000 ms. */
  readonly patienceMs?: number | undefined;
  /** Sent with each request, such as an `authorization` for what stands before the ingress. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
};

const DEFAULT_PATIENCE_MS = 30_000;

const optionsSchema = z.strictObject({
  ingress: z.url({ protocol: /^https?$/, error: "must be the engine's address, such as http://127.0.0.1:8080" }),
  store: z.custom<ThreadStore>((value) => typeof value === "object" && value !== null && "load" in value).optional(),
  signal: z.instanceof(AbortSignal).optional(),
  patienceMs: z.int().min(0).default(DEFAULT_PATIENCE_MS),
  headers: z.record(z.string(), z.string()).default({}),
});

/** Opens nothing before the first call. @throws InvalidRequestError that names the wrong option */
export function connect(options: ConnectOptions): Cluster {
  const { ingress, store, signal, patienceMs, headers } = parseWith(optionsSchema, options, "connect");
  return new RemoteThreads(new Ingress({ url: ingress, patienceMs, headers }), { store, signal });
}
