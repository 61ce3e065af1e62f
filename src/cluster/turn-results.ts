/** What became of a turn, as its thread's lines tell. */
import { type SubmissionId, toTurnId } from "../protocol/ids.ts";
import type { RolloutLine } from "../protocol/rollout.ts";
import type { TurnItem } from "../protocol/turn-item.ts";
import type { TurnResult } from "../thread/turn-result.ts";

/** Answers of up to so many bytes hold the items of their turn. */
const SHORT_BYTES = 64 * 1024;

export const isShort = (items: readonly TurnItem[]): boolean => JSON.stringify(items).length <= SHORT_BYTES;

/** Reads the lines of a turn, in order. */
export async function resultOf(
  lines: AsyncIterable<readonly RolloutLine[]>,
  { id, turnId }: { readonly id: SubmissionId; readonly turnId: string },
): Promise<TurnResult<never>> {
  const items: TurnItem[] = [];
  let end: TurnResult<never> | undefined;
  for await (const page of lines) {
    for (const line of page) {
      if (line.type !== "event_msg") continue;
      const { payload } = line;
      if (payload.type === "item_completed" && payload.turn_id === turnId) items.push(payload.item);
      if (payload.type !== "task_complete" && payload.type !== "turn_aborted") continue;
      if (payload.turn_id !== turnId) continue;
      const isComplete = payload.type === "task_complete";
      const failure = isComplete ? (payload.error ?? null) : null;
      end = {
        submissionId: id,
        turnId: toTurnId(turnId),
        status: failure !== null ? "failed" : isComplete ? "completed" : "interrupted",
        lastAgentMessage: isComplete ? (payload.last_agent_message ?? null) : null,
        items,
        usage: payload.turn_token_usage ?? null,
        error: failure === null ? null : { message: failure.message, info: failure.codex_error_info ?? null },
      };
    }
  }
  return (
    end ?? {
      ...{ submissionId: id, turnId: toTurnId(turnId), status: "interrupted", lastAgentMessage: null },
      ...{ items, usage: null, error: null },
    }
  );
}
