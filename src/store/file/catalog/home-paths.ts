import { isAbsolute, join, sep } from "node:path";

/**
 * Paths as the catalog keeps them: below its home they begin there, so that a home that is moved or copied with its
 * catalog never leads to the files of another.
 */
export class HomePaths {
  readonly #home: string | undefined;

  /** undefined: a catalog without a place of its own, which keeps paths whole. */
  constructor(home: string | undefined) {
    this.#home = home;
  }

  kept(path: string): string {
    const home = this.#home;
    return home !== undefined && path.startsWith(`${home}${sep}`) ? path.slice(home.length + 1) : path;
  }

  whole(kept: string): string {
    return this.#home === undefined || isAbsolute(kept) ? kept : join(this.#home, kept);
  }
}
