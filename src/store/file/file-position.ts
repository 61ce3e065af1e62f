import type { ThreadId } from "../../protocol/ids.ts";
import type { RolloutFileOwner } from "../rollout-path.ts";
import type { ForkBase, Position, ThreadWriter } from "../thread-store.ts";

/** A place between two lines of a rollout file: how many lines come before it, and how many bytes of its own file. */
export type FilePosition = Position & { readonly byteOffset: number };

/** The writer of a thread that lies in a file. */
export interface RolloutWriter extends ThreadWriter, RolloutFileOwner {
  position(): FilePosition;
}

/** What a fork inherits, as this store knows it: of a file that its id does not lead to, the path as well. */
export type InheritedFile = {
  readonly threadId: ThreadId;
  readonly end: FilePosition;
  readonly rolloutPath?: string;
};

/** A base that comes from elsewhere knows no bytes: no line ends at 0, so the file is asked. */
export function inheritedFileOf(inherits: NonNullable<ForkBase["inherits"]>): InheritedFile {
  const { end } = inherits as InheritedFile;
  return typeof end.byteOffset === "number"
    ? (inherits as InheritedFile)
    : { ...inherits, end: { ...end, byteOffset: 0 } };
}
