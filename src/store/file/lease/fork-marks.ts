import { join } from "node:path";
import type { ThreadId } from "../../../protocol/ids.ts";
import { type FileSystem, namesIn, removeIfThere } from "../file-system.ts";
import type { LeaseKeeper } from "./lease.ts";

const HEIRS_FOLDER = "heirs";

/**
 * Forks that the catalog does not know yet. Who deletes a thread asks the catalog for its heirs; a fork's row comes there
 * with the next batch, so until then a mark stands for it: a link to its owner's file, like a lease, which costs
 * microseconds. A mark that a crash leaves is removed when a scan has taken all files in.
 */
export class ForkMarks {
  readonly #fs: FileSystem;
  readonly #leases: LeaseKeeper;
  readonly #folder: string;

  constructor(fs: FileSystem, leases: LeaseKeeper, leasesFolder: string) {
    this.#fs = fs;
    this.#leases = leases;
    this.#folder = join(leasesFolder, HEIRS_FOLDER);
  }

  /** To be called before the fork's file is made. */
  set(base: ThreadId, fork: ThreadId): void {
    this.#leases.linkTo(this.#path(base, fork));
  }

  clear(base: ThreadId, fork: ThreadId): void {
    removeIfThere(this.#fs, this.#path(base, fork));
  }

  isMarked(base: ThreadId): boolean {
    return namesIn(this.#fs, this.#folder).some((name) => name.startsWith(`${base}_`));
  }

  /** All files are in the catalog: what dead processes left is not needed any more. */
  sweep(): void {
    for (const name of namesIn(this.#fs, this.#folder)) {
      const path = join(this.#folder, name);
      if (this.#leases.isOrphan(path)) removeIfThere(this.#fs, path);
    }
  }

  #path(base: ThreadId, fork: ThreadId): string {
    return join(this.#folder, `${base}_${fork}`);
  }
}
