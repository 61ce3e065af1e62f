/** What 0.87 says of a rollout that it cannot load (SPEC 7.6 and 10). */
import { RolloutCorruptError, RolloutNotFoundError, StoreIoError } from "../../protocol/errors.ts";
import { ioCode, ioText } from "../../services/io-failure.ts";
import { invalidRequest } from "../rpc-error.ts";

const NO_FILE = "No such file or directory (os error 2)";

/** What is loaded: a file, by its path or by the conversation's id. */
export type Loaded = { readonly path: string; readonly id?: string | null | undefined };

/** @throws RpcError -32600 when there is no such rollout, or nothing of a conversation in it */
export async function loading<T>({ path, id }: Loaded, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const why = reasonOf(error);
    if (why === undefined) throw error;
    const of = id == null ? "" : ` for conversation ${id}`;
    throw invalidRequest(`failed to load rollout \`${path}\`${of}: ${why.text}`, { code: why.code, cause: error });
  }
}

function reasonOf(error: unknown): { text: string; code: "rollout_not_found" | "rollout_corrupt" } | undefined {
  if (error instanceof RolloutNotFoundError) return { text: NO_FILE, code: error.code };
  if (error instanceof RolloutCorruptError) {
    const isEmpty = error.problem === "empty";
    return { text: isEmpty ? "empty session file" : "failed to parse thread ID from rollout file", code: error.code };
  }
  if (error instanceof StoreIoError && ioCode(error.cause) === "EISDIR") {
    return { text: ioText(error.cause), code: RolloutCorruptError.code };
  }
  return undefined;
}

/** The same of a summary: it wants the session's header at the file's beginning. */
export function summaryFailure(error: unknown, path: string): string {
  if (error instanceof RolloutNotFoundError) return NO_FILE;
  if (error instanceof RolloutCorruptError) {
    const isEmpty = error.problem === "empty";
    return `rollout at ${path} ${isEmpty ? "is empty" : "does not start with session metadata"}`;
  }
  if (error instanceof StoreIoError) return ioText(error.cause);
  return error instanceof Error ? error.message : String(error);
}
