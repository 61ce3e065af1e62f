import type { ThreadId } from "../../protocol/ids.ts";
import type { ThreadGit } from "../thread-store.ts";
import type { FileSystem } from "./file-system.ts";
import type { Layout } from "./layout.ts";
import { readGit } from "./thread-git.ts";
import { readNames } from "./thread-names.ts";

/** What users and clients have noted of threads beside their rollouts. */
export type ThreadNotes = {
  readonly names: ReadonlyMap<ThreadId, string>;
  readonly git: ReadonlyMap<ThreadId, ThreadGit | null>;
};

export const readNotes = (fs: FileSystem, layout: Layout): ThreadNotes => ({
  names: readNames(fs, layout),
  git: readGit(fs, layout),
});
