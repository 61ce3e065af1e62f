import { toTurnId } from "../protocol/ids.ts";
import type { Incarnation } from "./incarnation.ts";
import type { ActiveTurn } from "./thread.ts";

/** The turn that runs, whoever's logic runs it. */
export function activeTurnOf({ turn, ownTurn, takesInput }: Incarnation): ActiveTurn | undefined {
  if (ownTurn?.started?.turn_id) {
    const { id: submissionId, started, since: startedAt } = ownTurn;
    return { turnId: toTurnId(String(started.turn_id)), submissionId, kind: "regular", takesInput, startedAt };
  }
  if (turn === undefined || turn.ended) return undefined;
  const { turnId, id: submissionId, kind, startedAt } = turn;
  return { turnId, submissionId, kind, takesInput, startedAt };
}
