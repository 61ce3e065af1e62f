import type { Clock } from "../../kernel/clock.ts";
import type { SkeinLogger } from "../../kernel/log.ts";
import type { FileSystem } from "./file-system.ts";

/** How a file store keeps its files; only `home`, the folder, has to be said. */
export type FileStoreOptions = {
  readonly home: string;
  /** When bytes are forced to the disk. Default `"turn"`: whenever a flush is awaited. */
  readonly fsync?: FsyncPolicy;
  readonly clock?: Clock;
  readonly logger?: SkeinLogger;
  /** Rollouts that are open at once, at most. Default 256. */
  readonly maxOpenFiles?: number;
  /** Default `"reference"`: a fork shares its source's lines. `"copy"`: it gets a self-contained legacy file. */
  readonly forkStorage?: "reference" | "copy";
  /**
   * When a new thread's file is made. Default `"at-start"`: a thread that was started is in the home, in its lists, and outlives the
   * process, before anybody hears its id. `"with-first-line"`, as stock Codex does: starts cost no file call, and a thread that has
   * said nothing is in no list and is gone when its process dies. Its file is made as soon as it says something, when it is asked for by
   * its id (to fork, name, read or archive it), and when its writer closes: an orderly end loses nothing. Forks always have theirs.
   */
  readonly newFiles?: "at-start" | "with-first-line" | undefined;
  /** How far the catalog's background scan is. */
  readonly onScanProgress?: (progress: ScanProgress) => void;
  /** For tests: a file system that fails. */
  readonly fileSystem?: FileSystem;
};

/** When bytes are forced to the disk: never; when a sync is asked for, as at a turn's end; or with every flush and batch. */
export type FsyncPolicy = "never" | "turn" | "always";

/** How far the store is with reading the home's files into its catalog. */
export type ScanProgress = { readonly files: number; readonly changed: number; readonly done: boolean };
