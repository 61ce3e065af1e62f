import type { Agent } from "node:http";
import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";

/** How to reach a model server over HTTP. Secrets in it never show in logs, errors or JSON. */
export type EndpointOptions = {
  /** Up to the version, for instance `http://127.0.0.1:11434/v1`. */
  readonly baseUrl: string;
  /** Sent as `authorization: Bearer`. */
  readonly apiKey?: ApiKey | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly queryParams?: Readonly<Record<string, string>> | undefined;
  /** Further texts that no error may show; values whose names say that they are secret never are. */
  readonly secrets?: readonly string[] | undefined;
  /** Who asks. Default `skein`. */
  readonly originator?: string | undefined;
  /** Default: the originator and the platform. */
  readonly userAgent?: string | undefined;
  /** How long the server may be silent, before the first byte and between any two. Default 300,000 ms. */
  readonly idleTimeoutMs?: number | undefined;
  /** How often a request is tried again before its failure is reported; at most 100. Default 4. */
  readonly requestMaxRetries?: number | undefined;
  /** Default: the system's. */
  readonly clock?: Clock | undefined;
  /** Gets a debug line for each retry. Default: silent. */
  readonly logger?: Pick<SkeinLogger, "debug"> | undefined;
  /** Another way to the network: a proxy's agent, or one with a client certificate. It stays its maker's to close. */
  readonly agent?: Agent | undefined;
};

/** A key, or where to ask for it before each try: a login is then seen at once. */
export type ApiKey = string | ((options: { signal: AbortSignal }) => string | undefined | Promise<string | undefined>);
