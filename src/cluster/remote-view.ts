/** How a thread of a cluster stands, as far as its handle has heard: by the last answer, by its events, and by what was said to it. */
import { taskKindOf } from "../../machines/thread.machine.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import { toSubmissionId, toTurnId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import type { ActiveTurn } from "../thread/thread.ts";
import { isTurnEnd } from "../thread/turn-watch.ts";
import { agentStatusAfter } from "../turn/agent-status-after.ts";
import type { PendingApproval } from "../turn/pending-approval.ts";
import { APPROVALS, openQuestions, USER_QUESTIONS } from "./feed.ts";
import type { Facts, LiveState, Message, Run, SentConfig } from "./wire.ts";

export class RemoteView {
  facts: Facts;
  status: AgentStatus;
  epoch: number;
  activeTurn: ActiveTurn | undefined;
  pendingApprovals: readonly PendingApproval[] = [];
  pendingUserQuestions: readonly PendingApproval[] = [];
  #stated: LiveState | undefined;

  constructor(facts: Facts, run: Run | null) {
    this.facts = facts;
    this.status = run === null ? facts.status : "running";
    this.epoch = run?.epoch ?? facts.epoch;
  }

  /** Whether a worker has told how the thread stands in this life. */
  isStated(epoch: number): boolean {
    return this.#stated?.epoch === epoch;
  }

  /** What a worker has answered once nothing ran any more. */
  absorb(facts: Facts): void {
    if (facts.epoch < this.facts.epoch) return;
    this.facts = facts;
    this.epoch = Math.max(this.epoch, facts.epoch);
    this.status = facts.status;
    this.#rest();
  }

  #rest(): void {
    this.activeTurn = undefined;
    this.pendingApprovals = [];
    this.pendingUserQuestions = [];
  }

  note(event: ThreadEvent): void {
    this.epoch = event.epoch;
    // A state that was told already has taken it into account.
    if (event.epoch === this.#stated?.epoch && event.seq <= this.#stated.seq) return;
    this.status = agentStatusAfter(this.status, event.msg);
    this.pendingApprovals = openQuestions(this.pendingApprovals, event, APPROVALS);
    this.pendingUserQuestions = openQuestions(this.pendingUserQuestions, event, USER_QUESTIONS);
    const { msg, id } = event;
    if ((msg.type === "task_started" || msg.type === "turn_resumed") && msg.turn_id) {
      const begun = this.activeTurn?.turnId === msg.turn_id ? this.activeTurn : undefined;
      const { kind, takesInput } = begun ?? { kind: "regular", takesInput: true };
      this.activeTurn = {
        ...{ turnId: toTurnId(msg.turn_id), submissionId: id, kind, takesInput },
        startedAt: msg.started_at ? msg.started_at * 1_000 : event.time,
      };
    }
    // The next turn may have been handed in before the end of this one is told.
    if (isTurnEnd(msg) && (msg.turn_id ?? id) === this.activeTurn?.turnId) this.activeTurn = undefined;
  }

  noteState(state: LiveState): void {
    const { epoch, status, activeTurn, pendingApprovals, pendingUserQuestions } = state;
    this.#stated = state;
    this.epoch = epoch;
    this.status = status;
    this.activeTurn = activeTurn ?? undefined;
    this.pendingApprovals = pendingApprovals;
    this.pendingUserQuestions = pendingUserQuestions;
  }

  /** A worker has the op, whatever its thread will say of it. */
  noteAnswered(op: Op): void {
    const id = op.type === "resolve_elicitation" ? String(op.request_id) : (op as { id?: unknown }).id;
    const isOpen = ({ callId }: PendingApproval) => callId !== id;
    if (op.type === "exec_approval" || op.type === "patch_approval")
      this.pendingApprovals = this.pendingApprovals.filter(isOpen);
    if (op.type === "user_input_answer" || op.type === "resolve_elicitation")
      this.pendingUserQuestions = this.pendingUserQuestions.filter(isOpen);
  }

  noteConfig(config: SentConfig): void {
    this.facts = { ...this.facts, config };
  }

  /** The engine has a message that begins a turn. */
  noteBegun(message: Message): void {
    if (message.kind !== "op") return;
    const { id, op } = message;
    const kind = taskKindOf(op);
    if (kind === undefined) return;
    this.status = "running";
    this.activeTurn = {
      ...{ turnId: toTurnId(id), submissionId: toSubmissionId(id), kind },
      ...{ takesInput: kind === "regular", startedAt: Date.now() },
    };
  }

  /** Its holder has ended it. */
  noteShutdown(): void {
    this.status = "shutdown";
  }

  /** No worker could do it. */
  noteFailure(text: string): void {
    this.status = { errored: text };
    this.activeTurn = undefined;
  }
}
