/** Ops to loaded threads, and what becomes of them. */
import { ThreadNotFoundError } from "../protocol/errors.ts";
import { newTurnId, type ThreadId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { threadNotFound } from "./rpc-error.ts";
import type { ServedThread } from "./served-threads.ts";
import type { ServerContext } from "./server-context.ts";
import { findStored } from "./v2/thread-view.ts";

/** A thread that is loaded, or was and has left memory. @throws RpcError `thread not found: ...`, or what `notFound` makes of its id */
export async function threadOf(
  { manager }: ServerContext,
  threadId: ThreadId,
  signal: AbortSignal,
  notFound: (id: string) => Error = threadNotFound,
): Promise<ServedThread> {
  const loaded = manager.loadedThread(threadId);
  if (loaded !== undefined) return loaded;
  try {
    return await manager.getThread(threadId, { signal });
  } catch (error) {
    throw error instanceof ThreadNotFoundError ? notFound(threadId) : error;
  }
}

/** As {@link threadOf}, but loads nothing that is stored: undefined for a thread that is not in memory. */
export async function liveThreadOf(
  server: ServerContext,
  threadId: ThreadId,
  signal: AbortSignal,
): Promise<ServedThread | undefined> {
  const { manager } = server;
  const isAway = manager.loadedThread(threadId) === undefined && (await findStored(manager, threadId)) !== undefined;
  return isAway ? undefined : threadOf(server, threadId, signal);
}

export type TurnSettings = Omit<Extract<Op, { type: "override_turn_context" }>, "type">;

/** Submits input for a turn, and says which turn takes it: a new one, or the running one, which it joins. */
export async function submitInput(
  { hub }: ServerContext,
  thread: ServedThread,
  {
    items,
    outputSchema,
    clientId,
  }: { items: UserInput[]; outputSchema?: unknown; clientId?: string | null | undefined },
  signal: AbortSignal,
): Promise<{ turnId: string; isNew: boolean }> {
  const id = newTurnId();
  const feed = hub.feedOf(thread.id);
  const fate = { startedTurn: undefined as string | undefined, joinedTurn: undefined as string | undefined };
  feed.submitted.set(id, fate);
  try {
    const schema = outputSchema == null ? {} : { final_output_json_schema: outputSchema };
    const name = clientId == null ? {} : { client_id: clientId };
    await thread.submitWithId({ id, isNew: true, op: { type: "user_input", items, ...schema, ...name } }, { signal });
  } finally {
    feed.submitted.delete(id);
  }
  if (fate.startedTurn !== undefined) return { turnId: fate.startedTurn, isNew: true };
  if (fate.joinedTurn !== undefined) return { turnId: fate.joinedTurn, isNew: false };
  const running = thread.activeTurn;
  if (running?.takesInput === true) return { turnId: running.turnId, isNew: false };
  if (running !== undefined) feed.promised.set(id, false);
  return { turnId: id, isNew: true };
}
