import { InvalidRequestError } from "../protocol/errors.ts";

/** The last line that a writer was given and cannot store, until it was told (W8). */
export class RefusedLine {
  #error: Error | undefined;

  get error(): Error | undefined {
    return this.#error;
  }

  /** What `encode` makes of a line; undefined where it can't be made. */
  encoded<T>(encode: () => T, tell: (error: Error) => void): T | undefined {
    try {
      return encode();
    } catch (error) {
      if (!(error instanceof InvalidRequestError)) throw error;
      this.#error = error;
      tell(error);
      return undefined;
    }
  }

  /** Rejects with what was refused since it was asked last; undefined where nothing was. */
  told(): Promise<never> | undefined {
    const error = this.#error;
    this.#error = undefined;
    return error === undefined ? undefined : Promise.reject(error);
  }
}
