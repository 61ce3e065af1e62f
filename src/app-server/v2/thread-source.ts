/** Finds the stored thread that a request names, and says in 0.169's words why it can't (SPEC 13.4). */
import { isAbsolute, join } from "node:path";
import { RolloutCorruptError, RolloutNotFoundError, StoreIoError } from "../../protocol/errors.ts";
import { parseThreadId, type ThreadId } from "../../protocol/ids.ts";
import type { SessionMeta } from "../../protocol/rollout.ts";
import { ioCode } from "../../services/io-failure.ts";
import {
  INTERNAL_ERROR,
  INVALID_REQUEST,
  invalidRequest,
  noRollout,
  RpcError,
  textOfError,
  threadNotFound,
} from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { findStored } from "./thread-view.ts";

/** @param what `thread` or `session`: Codex says it one way when it reads and the other when it loads */
export function readThreadId(
  text: string,
  what:
    | "thread"
    | "session"
    | "attached thread parent"
    | `${"parent" | "ancestor" | "included" | "excluded" | "before"} thread` = "thread",
  number = INVALID_REQUEST,
): ThreadId {
  try {
    return parseThreadId(text);
  } catch (error) {
    throw new RpcError(number, `invalid ${what} id: ${textOfError(error)}`, { cause: error });
  }
}

/** The id of a thread that there is, stored or not. @throws RpcError */
export async function knownThread({ manager, views }: ServerContext, given: string): Promise<ThreadId> {
  const threadId = readThreadId(given);
  if (views.ephemeral.has(threadId) || (await findStored(manager, threadId)) !== undefined) return threadId;
  throw threadNotFound(threadId);
}

/** A thread by its id. Ephemeral ones have no rollout, archived ones must be unarchived first. */
export async function sourceById({ manager, views }: ServerContext, threadId: ThreadId): Promise<SessionMeta> {
  if (views.ephemeral.has(threadId)) throw noRollout(threadId);
  const stored = await guardSource(threadId, () => findStored(manager, threadId));
  if (stored === undefined) throw noRollout(threadId);
  if (stored.archived) {
    throw invalidRequest(`session ${threadId} is archived. Run \`codex unarchive ${threadId}\` to unarchive it first.`);
  }
  return guardSource(threadId, () => manager.store.header(threadId));
}

/** The file that a request names; one that is no absolute path is taken from the home, as by stock. undefined: it names none. */
export function rolloutNamed({ home }: ServerContext, path: string | null | undefined): string | undefined {
  if (path == null || path === "") return undefined;
  return isAbsolute(path) ? path : join(home, path);
}

/** A thread by its file, wherever that lies. */
export async function sourceByPath({ manager }: ServerContext, rolloutPath: string): Promise<SessionMeta> {
  return guardSource(rolloutPath, () => manager.store.header({ rolloutPath }));
}

/** What is wrong with a rollout, in Codex's words. */
export async function guardSource<T>(place: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RolloutNotFoundError) throw missing(place, error);
    if (error instanceof StoreIoError && ioCode(error.cause) === "EISDIR") {
      throw invalidRequest(`failed to resolve rollout path \`${place}\`: path is a directory`, { cause: error });
    }
    if (!(error instanceof RolloutCorruptError)) throw error;
    const { path, code } = error;
    throw new RpcError(
      INTERNAL_ERROR,
      `failed to read thread: thread-store internal error: failed to read session metadata ${path}: rollout at ${path} is empty`,
      { code, cause: error },
    );
  }
}

const missing = (place: string, cause: RolloutNotFoundError): RpcError =>
  place.includes("/")
    ? invalidRequest(`failed to resolve rollout path \`${place}\`: file does not exist`, { code: cause.code, cause })
    : invalidRequest(`no rollout found for thread id ${place}`, { code: cause.code, cause });
