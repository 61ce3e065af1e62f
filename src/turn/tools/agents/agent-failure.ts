/** What a model is told when something cannot be done with an agent: Codex's texts. */
import { textOfThrown } from "../../../kernel/thrown.ts";
import {
  LimitReachedError,
  ManagerClosedError,
  RolloutNotFoundError,
  ThreadClosedError,
  ThreadNotFoundError,
} from "../../../protocol/errors.ts";
import type { ThreadId } from "../../../protocol/ids.ts";

export const DEPTH_REACHED = "Agent depth limit reached. Solve the task yourself.";

export function spawnFailure(error: unknown): string {
  return common(error) ?? `collab spawn failed: ${detailOf(error)}`;
}

export function agentFailure(id: ThreadId, error: unknown): string {
  if (error instanceof ThreadNotFoundError || error instanceof RolloutNotFoundError) {
    return `agent with id ${id} not found`;
  }
  if (error instanceof ThreadClosedError) return `agent with id ${id} is closed`;
  return common(error) ?? `collab tool failed: ${detailOf(error)}`;
}

function common(error: unknown): string | undefined {
  if (error instanceof LimitReachedError && error.limit === "depth") return DEPTH_REACHED;
  return error instanceof ManagerClosedError ? "collab manager unavailable" : undefined;
}

const detailOf = (error: unknown): string =>
  error instanceof LimitReachedError && error.limit === "treeSize" ? "agent thread limit reached" : textOfThrown(error);
