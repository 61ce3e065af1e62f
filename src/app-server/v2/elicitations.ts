/** What an MCP server asks the user, as v2 puts it. */
import * as z from "zod";
import { type ElicitationAnswer, formContentSchema } from "../../protocol/elicitation.ts";
import type { ElicitationMsg } from "../asked-msg.ts";
import type { OpenRequest } from "../open-request.ts";

export const DECLINED: ElicitationAnswer = { action: "decline" };
/** Nobody has decided anything. */
export const CANCELLED: ElicitationAnswer = { action: "cancel" };

export function elicitationRequest({ msg, feed }: OpenRequest<ElicitationMsg>): { method: string; params: unknown } {
  const { server_name: serverName, message, turn_id: turnId = null, request } = msg;
  const place = { threadId: feed.threadId, turnId, serverName, environmentId: null };
  const said = { _meta: request?.meta ?? null, message };
  const params =
    request?.mode === "url"
      ? { ...place, mode: "url", ...said, url: request.url, elicitationId: request.elicitationId }
      : {
          ...place,
          mode: "form",
          ...said,
          requestedSchema: request?.requestedSchema ?? { type: "object", properties: {} },
        };
  return { method: "mcpServer/elicitation/request", params };
}

const answerSchema = z
  .object({
    action: z.enum(["accept", "decline", "cancel"]),
    content: formContentSchema.nullish(),
    _meta: z.record(z.string(), z.unknown()).nullish(),
  })
  .transform(({ action, content, _meta }) => ({ action, content: content ?? undefined, meta: _meta ?? undefined }));

/** What is no answer declines, as with Codex. */
export const elicitationAnswerOf = (result: unknown): ElicitationAnswer =>
  answerSchema.safeParse(result).data ?? DECLINED;
