import type { Clock } from "../../kernel/clock.ts";
import type { HeldFolders } from "../../process/sandbox/held-folders.ts";
import type { ElicitationAnswer } from "../../protocol/elicitation.ts";
import type { EventMsg } from "../../protocol/event.ts";
import type { SubmissionId, ThreadId } from "../../protocol/ids.ts";
import type { HistoryMode } from "../../protocol/rollout.ts";
import type { UserAnswers } from "../../protocol/user-question.ts";
import type { Agents } from "../agents.ts";
import type { Approvals } from "../approvals.ts";
import type { History } from "../history.ts";
import type { OpenQuestions } from "../open-questions.ts";
import type { TurnRun } from "../turn-run.ts";
import type { Terminals } from "./exec/terminals.ts";

/** What waits for people to say. */
export interface CallQuestions {
  readonly approvals: Approvals;
  /** What the model has asked the user. */
  readonly ofModel: OpenQuestions<UserAnswers>;
  /** What MCP servers have asked the user. */
  readonly ofServers: OpenQuestions<ElicitationAnswer>;
}

/** What one call of a tool needs of its thread. */
export interface CallHost {
  readonly threadId: ThreadId;
  readonly historyMode: HistoryMode;
  readonly clock: Clock;
  readonly questions: CallQuestions;
  readonly terminals: Terminals;
  /** The folders that commands may write, as they were when the thread began. */
  readonly folders: HeldFolders;
  readonly env: { readonly agents: Agents; readonly scope: object };
  /** The history in memory; undefined while nobody has needed it. */
  readonly history: History | undefined;
  /** Emits through the thread's actor, which is the only way out. `recorded`: its line is stored already. */
  publish(id: SubmissionId, msg: EventMsg, options?: { recorded: true }): void;
  /** A call waits for its approval, and has done nothing so far; or may begin now: resolves when that is stored. */
  noteAsking(run: TurnRun, callId: string, state: "asking" | "begun"): Promise<void>;
  /** Tells the turn's machine of approvals asked for and answered. */
  signalTurn(event: { type: "approval.requested" } | { type: "approval.resolved" }): void;
}
