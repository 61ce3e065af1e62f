/** thread/prepareApprovedPlan: a plan that the user has approved elsewhere, for a thread that is to carry it out. */
import { isAbsolute } from "node:path";
import * as z from "zod";
import { newTurnId } from "../../protocol/ids.ts";
import { contextMessage, type MessageItem } from "../../protocol/response-item.ts";
import { type MethodTable, method } from "../method.ts";
import { loose, optionalText, text } from "../params.ts";
import { INVALID_PARAMS, invalidRequest, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { threadOf } from "../thread-ops.ts";
import { readThreadId } from "./thread-source.ts";

const prepareSchema = z.object({ threadId: text, markdown: text, attachmentPath: optionalText });

/** What the client sends then as the user's input; Codex's words, which the TUI shows. */
const PROMPT = "Implement the plan.";

export const approvedPlanMethods = (server: ServerContext): MethodTable => ({
  "thread/prepareApprovedPlan": method({
    params: loose(prepareSchema),
    experimental: true,
    handle: async ({ threadId, markdown, attachmentPath }, { signal }) => {
      if (attachmentPath != null && !isAbsolute(attachmentPath)) {
        throw new RpcError(INVALID_PARAMS, "`attachmentPath` must be absolute on the app server");
      }
      const thread = await threadOf(server, readThreadId(threadId), signal);
      if (markdown.trim() === "") throw invalidRequest("The approved plan is empty.");
      if (thread.activeTurn !== undefined) throw invalidRequest("The thread already has an active turn.");
      const items = [planMessage(markdown, attachmentPath ?? undefined)];
      await thread.submitWithId({ id: newTurnId(), isNew: true, op: { type: "inject_items", items } }, { signal });
      return { prompt: PROMPT };
    },
  }),
});

/** Codex gives the plan as the output of a call that nobody has made, which servers of other providers refuse. */
function planMessage(markdown: string, path: string | undefined): MessageItem {
  const file = path === undefined ? "" : ` It is kept in ${path}.`;
  return contextMessage(
    `<codex_internal_context source="proposed_plan">\nThe user has approved this plan; carry it out when asked to.${file}\n\n${markdown}\n</codex_internal_context>`,
    "generic.proposed_plan",
  );
}
