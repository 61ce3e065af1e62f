/** threadSection/* and thread/section/move: sections that clients sort threads into. */
import * as z from "zod";
import { pageLimit } from "../../store/thread-query.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { optionalCount, optionalText, text } from "../params.ts";
import { invalidParams, invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { knownThread, readThreadId } from "./thread-source.ts";

const appearance = z
  .object({ icon: optionalText, color: optionalText })
  .transform(({ icon = null, color = null }) => ({ icon, color }))
  .nullish();
const createSchema = z.object({ name: text, appearance });
const updateSchema = z.object({ sectionId: text, name: text, appearance });
const moveSchema = z.object({ threadId: text, sectionId: text.nullable(), beforeThreadId: optionalText });

export const sectionMethods = (server: ServerContext): MethodTable => ({
  "threadSection/list": method({
    params: z.object({ cursor: optionalText, limit: optionalCount }),
    handle: async ({ cursor, limit: given }) => {
      const limit = pageLimit(given);
      const found = await server.sections.list({ after: cursor ?? "", limit: limit + 1 });
      const data = found.slice(0, limit);
      return { data, nextCursor: found.length > limit ? (data.at(-1)?.id ?? null) : null };
    },
  }),
  "threadSection/create": method({
    params: createSchema,
    handle: async ({ name, appearance }, { signal }) => ({
      section: await server.sections.create(readName(name), appearance ?? null, signal),
    }),
  }),
  "threadSection/update": method({
    params: updateSchema,
    handle: async ({ sectionId, name, appearance }, { signal }) => ({
      section: await server.sections.update(sectionId, { name: readName(name), appearance }, signal),
    }),
  }),
  "threadSection/delete": method({
    params: z.object({ sectionId: text }),
    handle: async ({ sectionId }, { signal }) => {
      await server.sections.delete(sectionId, signal);
      return {};
    },
  }),
  "thread/section/move": method({ params: moveSchema, handle: (params, call) => move(server, params, call) }),
});

/** Without blanks around it, as Rust takes them. @throws RpcError */
function readName(given: string): string {
  const name = given.replace(/^\p{White_Space}+|\p{White_Space}+$/gu, "");
  if (name === "") throw invalidParams("section name must not be empty");
  return name;
}

async function move(server: ServerContext, params: z.infer<typeof moveSchema>, call: Call): Promise<object> {
  const { sectionId, beforeThreadId } = params;
  const named = readThreadId(params.threadId);
  const before = beforeThreadId == null ? undefined : readThreadId(beforeThreadId, "before thread");
  if (sectionId === "") throw invalidRequest("sectionId must not be empty");
  if (sectionId === null && before !== undefined) throw invalidRequest("beforeThreadId requires a non-null sectionId");
  if (server.views.ephemeral.has(named)) {
    throw invalidRequest(`ephemeral thread does not support section moves: ${named}`);
  }
  const threadId = await knownThread(server, named);
  await server.sections.move(threadId, { sectionId, before }, call.signal);
  call.afterAnswer(() => {
    server.hub.broadcast({ method: "thread/section/changed", params: { threadId, sectionId } });
  });
  return {};
}
