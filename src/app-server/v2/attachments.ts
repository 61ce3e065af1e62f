/** thread/attachment/*: what clients pin to a thread under a type and a key of their own. They stay with it, and its forks have copies. */
import * as z from "zod";
import { newItemId, parseThreadId, type ThreadId } from "../../protocol/ids.ts";
import type { Attachment } from "../memos/thread-memos.ts";
import { type MethodTable, method } from "../method.ts";
import { optionalCount, optionalFlag, optionalText, text } from "../params.ts";
import { INVALID_PARAMS, invalidParams, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { readThreadId } from "./thread-source.ts";
import { findStored } from "./thread-view.ts";

/** Stock Codex's bounds, and one of ours: how many a thread may have. */
const NAME_BYTES = 256;
const PAYLOAD_BYTES = 65_536;
const MOST = 256;
const PAGE = 100;

const page = { cursor: optionalText, limit: optionalCount };
const named = { attachmentType: text, identityKey: text };
const payload = z.unknown().refine((given) => given !== undefined);
const addSchema = z.object({ threadId: text, ...named, payload });
const removeSchema = z.object({ threadId: text, ...named });
const listSchema = z.object({ threadId: text, ...page });
const ownersSchema = z.object({ ...named, ...page, archived: optionalFlag });

type Named = { readonly attachmentType: string; readonly identityKey: string };

export const attachmentMethods = (server: ServerContext): MethodTable => ({
  "thread/attachment/add": method({
    params: addSchema,
    handle: async (params) => {
      checkNames(params);
      if (Buffer.byteLength(JSON.stringify(params.payload)) > PAYLOAD_BYTES) {
        throw invalidParams(`attachment payload must not exceed ${PAYLOAD_BYTES} bytes`);
      }
      return add(server, await storedThread(server, params.threadId), params);
    },
  }),
  "thread/attachment/remove": method({
    params: removeSchema,
    handle: async (params) => {
      checkNames(params);
      const threadId = await storedThread(server, params.threadId);
      const before = await server.memos.change(threadId, ({ attachments }) => ({
        attachments: attachments.filter((each) => !isNamed(params)(each)),
      }));
      const found = before.attachments.find(isNamed(params));
      if (found === undefined) return {};
      tell(server, threadId, found, "deleted");
      return {};
    },
  }),
  "thread/attachment/list": method({
    params: listSchema,
    handle: async ({ threadId: given, cursor, limit }) => {
      const threadId = readThreadId(given, "thread", INVALID_PARAMS);
      const { attachments } = await server.memos.read(threadId);
      const after = placeOf(cursor);
      return pageOf(
        attachments.filter(({ id }) => id > after),
        limit,
        ({ id }) => id,
      );
    },
  }),
  "thread/attachmentOwner/list": method({
    params: ownersSchema,
    handle: async ({ cursor, limit, archived, ...params }) => {
      checkNames(params);
      const after = placeOf(cursor);
      const owners = await ownersOf(server, params);
      const shown = owners.filter((owner) => owner.threadId > after && owner.archived === (archived ?? owner.archived));
      return pageOf(shown, limit, ({ threadId }) => threadId);
    },
  }),
});

async function add(server: ServerContext, threadId: ThreadId, given: Named & { readonly payload: unknown }) {
  const { attachmentType, identityKey } = given;
  const createdAt = Math.floor(server.clock.now() / 1000);
  const attachment = { id: newItemId(), attachmentType, identityKey, payload: given.payload, createdAt };
  const before = await server.memos.change(threadId, ({ attachments }) => {
    if (attachments.some(isNamed(given))) return {};
    if (attachments.length >= MOST) throw invalidParams(`a thread has at most ${MOST} attachments`);
    return { attachments: [...attachments, attachment] };
  });
  const found = before.attachments.find(isNamed(given));
  if (found !== undefined) return { outcome: "existing", attachment: found };
  tell(server, threadId, attachment, "created");
  return { outcome: "created", attachment };
}

/** A fork has its source's, as its own. */
export const attachmentsOfFork = (attachments: readonly Attachment[], nowMs: number): Attachment[] =>
  attachments.map((each) => ({ ...each, id: newItemId(), createdAt: Math.floor(nowMs / 1000) }));

const isNamed =
  ({ attachmentType, identityKey }: Named) =>
  (each: Named): boolean =>
    each.attachmentType === attachmentType && each.identityKey === identityKey;

/** Looks through what all threads of the home have, by rising ids. */
async function ownersOf({ memos, manager }: ServerContext, wanted: Named) {
  const owners: { threadId: ThreadId; archived: boolean }[] = [];
  for await (const [threadId, { attachments }] of memos.all()) {
    const stored = attachments.some(isNamed(wanted)) ? await findStored(manager, threadId) : undefined;
    if (stored !== undefined) owners.push({ threadId, archived: stored.archived });
  }
  return owners.sort((a, b) => (a.threadId < b.threadId ? -1 : 1));
}

function tell({ hub }: ServerContext, threadId: ThreadId, attachment: Attachment, operation: "created" | "deleted") {
  const { id: attachmentId, attachmentType, identityKey } = attachment;
  const params = { threadId, attachmentType, identityKey, attachmentId, operation };
  hub.broadcast({ method: "thread/attachment/updated", params });
}

/** A cursor is the id of the last one before: ids sort in the order of their making, and that one may be gone meanwhile. */
function placeOf(cursor: string | null | undefined): string {
  if (cursor == null) return "";
  try {
    return parseThreadId(cursor);
  } catch (cause) {
    throw invalidParams("invalid pagination cursor", { cause });
  }
}

function pageOf<T>(rest: readonly T[], limit: number | null | undefined, cursor: (last: T) => string) {
  const data = rest.slice(0, Math.min(PAGE, Math.max(1, limit ?? PAGE)));
  const last = data.at(-1);
  return { data, nextCursor: last !== undefined && data.length < rest.length ? cursor(last) : null };
}

/** @throws RpcError -32602 */
function checkNames({ attachmentType, identityKey }: Named): void {
  for (const [name, value] of Object.entries({ attachmentType, identityKey })) {
    if (value === "") throw invalidParams(`${name} must not be empty`);
    if (Buffer.byteLength(value) > NAME_BYTES) throw invalidParams(`${name} must not exceed ${NAME_BYTES} bytes`);
  }
}

/** Archived ones too; an ephemeral one has nowhere to keep anything. @throws RpcError -32602 */
async function storedThread({ manager, views }: ServerContext, given: string): Promise<ThreadId> {
  const threadId = readThreadId(given, "thread", INVALID_PARAMS);
  const stored = views.ephemeral.has(threadId) ? undefined : await findStored(manager, threadId);
  if (stored === undefined)
    throw new RpcError(INVALID_PARAMS, `thread not found: ${given}`, { code: "thread_not_found" });
  return threadId;
}
