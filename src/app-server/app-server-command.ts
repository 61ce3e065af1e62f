import type { SkeinLogger } from "../kernel/log.ts";
import type { ThreadManagerOptions } from "../manager/options.ts";
import type { BuiltInToolName } from "../protocol/built-in-tool-names.ts";
import type { ThreadStore } from "../store/thread-store.ts";

/** What `skein app-server` was asked to do. */
export type AppServerCommand = {
  readonly home: string;
  /** Where threads lie, in place of the home's files; the caller closes it. */
  readonly store?: ThreadStore | undefined;
  /** When the file of a new thread is made in the home; as the manager takes it. */
  readonly newFiles?: ThreadManagerOptions["newFiles"] | undefined;
  /** The ingress of a cluster that runs the threads; its workers share `store`, which is needed then. */
  readonly cluster?: string | undefined;
  readonly listen: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** `key=value`, each. */
  readonly config?: readonly string[] | undefined;
  readonly profile?: string | undefined;
  /** As a home is opened with it. */
  readonly unknownSettings?: "kept" | "refused" | undefined;
  /** What agents get; default: those that clients of Codex expect, since clients cannot name them. What those may do is for the sandbox and approvals. */
  readonly tools?: readonly BuiltInToolName[] | undefined;
  readonly wsAuth?: string | undefined;
  readonly wsTokenFile?: string | undefined;
  readonly wsTokenSha256?: string | undefined;
  readonly logger?: SkeinLogger | undefined;
  /** Ends the server; turns that run are interrupted, and stored as that. Those of a cluster go on. */
  readonly signal: AbortSignal;
  /** Ends it as soon as no turn runs; over stdio at once. */
  readonly drain?: AbortSignal | undefined;
  /** Told where clients can come in, once they can; not for stdio. */
  readonly onListening?: ((url: string) => void) | undefined;
};
