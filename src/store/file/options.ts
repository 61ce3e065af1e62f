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
  /** How far the catalog's background scan is. */
  readonly onScanProgress?: (progress: ScanProgress) => void;
  /** For tests: a file system that fails. */
  readonly fileSystem?: FileSystem;
};

/** When bytes are forced to the disk: never; when a sync is asked for, as at a turn's end; or with every flush and batch. */
export type FsyncPolicy = "never" | "turn" | "always";

/** How far the store is with reading the home's files into its catalog. */
export type ScanProgress = { readonly files: number; readonly changed: number; readonly done: boolean };
