import { RolloutNotFoundError, SkeinError, StoreIoError } from "../../protocol/errors.ts";

export const threadNotStored = (which: string): RolloutNotFoundError =>
  new RolloutNotFoundError(`no rollout found for thread id ${which}`);

/** A failure of the system as a typed error; our own errors as they are. */
export function asStoreError(what: string, error: unknown): Error {
  if (error instanceof SkeinError) return error;
  return new StoreIoError(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
