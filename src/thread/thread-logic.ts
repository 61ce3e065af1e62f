/** The built-in thread logic: thread.machine with its implementations, provided once for a whole manager. */
import { type AnyActorLogic, fromPromise } from "xstate";
import { threadMachine } from "../../machines/thread.machine.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { InternalDefect } from "../protocol/errors.ts";
import type { SubmissionId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import { estimatedUsage } from "../turn/compaction.ts";
import type { Submission } from "../turn/inbox.ts";
import { abandonTurn, turnLogic } from "../turn/turn-actors.ts";
import { runUserShell } from "../turn/user-shell.ts";
import type { Incarnation } from "./incarnation.ts";
import { answerOp, applySettings, refuseOp } from "./op-answers.ts";
import { withSwiftSpeech } from "./swift-speech.ts";

const submission = (event: { type: string }): Submission => event as unknown as Submission;

/** @param incarnations where the actors' live parts are, by session id */
export function threadLogic(incarnations: ReadonlyMap<string, Incarnation>): AnyActorLogic {
  const threadOf = (session: string): Incarnation => {
    const thread = incarnations.get(session);
    if (thread === undefined) throw new InternalDefect(`no incarnation runs under ${session}`);
    return thread;
  };
  const machine = threadMachine.provide({
    actors: {
      runTurn: turnLogic(threadOf),
      rollBack: fromPromise(({ input }) => rollBack(threadOf(input.thread), input)),
      close: fromPromise(({ input }) => close(threadOf(input.thread))),
    },
    actions: {
      holdInput: ({ event, self }, { task }) => holdInput(threadOf(self.sessionId), submission(event), task),
      answerOp: ({ event, self }) => answerOp(threadOf(self.sessionId), submission(event)),
      refuseOp: ({ event, self }) =>
        refuseOp(threadOf(self.sessionId), submission(event).id, "the thread is shutting down"),
      refuseRollback: ({ event, self }) =>
        refuseToRollBack(
          threadOf(self.sessionId),
          submission(event).id,
          "Cannot rollback while a turn is in progress.",
        ),
      runBeside: ({ event, self }) => runBeside(threadOf(self.sessionId), submission(event)),
      deferOp: ({ event, self }) => {
        const thread = threadOf(self.sessionId);
        thread.deferred = [...(thread.deferred ?? []), submission(event)];
      },
      replayDeferred: ({ self }) => {
        const thread = threadOf(self.sessionId);
        const deferred = thread.deferred ?? [];
        thread.deferred = undefined;
        for (const { id, op } of deferred) self.send({ type: "op.submit", id, op });
      },
      reportDefect: ({ event, self }) => reportDefect(threadOf(self.sessionId), event),
      abandonTurn: ({ event, self }) => abandonTurn(threadOf(self.sessionId), (event as { error?: unknown }).error),
    },
    guards: {
      hasTurn: ({ context }) => threadOf(context.session).turn !== undefined,
      turnTakesInput: ({ context }) => threadOf(context.session).turn?.takesInput ?? false,
    },
  });
  return withSwiftSpeech(machine, (snapshot) => typeof (snapshot as { value?: unknown }).value === "object");
}

function holdInput(thread: Incarnation, held: Submission, task: SubmissionId): void {
  if (held.op.type === "user_turn") applySettings(thread, held.id, held.op);
  thread.inbox.hold(held, task);
  // What is only to be known waits for the next request; what a user says is not kept waiting.
  if (thread.turn?.id === task && held.op.type !== "inject_items") thread.turn.cutRequest();
}

/** What the command comes to joins the turn that runs then, or is recorded at once. */
function runBeside(thread: Incarnation, { id, op }: Submission): void {
  if (thread.turn === undefined || op.type !== "run_user_shell_command") return;
  const record = (message: ResponseItem) =>
    thread.actor.send({ type: "op.submit", id, op: { type: "inject_items", items: [message] } });
  void runUserShell(thread, thread.turn, { command: String(op.command), record });
}

function refuseToRollBack(thread: Incarnation, id: SubmissionId, message: string): void {
  thread.publish(id, { type: "error", message, codex_error_info: "thread_rollback_failed" });
}

/** SPEC 6.4: the marker is stored before it is shown; nothing is ever rewritten. */
async function rollBack(thread: Incarnation, { id, op }: { id: SubmissionId; op: Op }): Promise<void> {
  const turns = op.type === "thread_rollback" ? op.num_turns : 0;
  if (turns < 1) {
    refuseToRollBack(thread, id, "num_turns must be >= 1");
    return;
  }
  await thread.openHistory(new AbortController().signal);
  const marker: RolloutItem = { type: "event_msg", payload: { type: "thread_rolled_back", num_turns: turns } };
  const rolledBack = thread.history;
  rolledBack?.rollBack(turns);
  thread.usage = estimatedUsage(thread, rolledBack?.estimatedTokens ?? 0);
  thread.publish(id, { type: "token_count", info: thread.usage, rate_limits: thread.rateLimits ?? null });
  thread.record(marker);
  await thread.sync();
  thread.publish(id, marker.payload, { recorded: true });
  thread.keepHistory();
}

async function close(thread: Incarnation): Promise<void> {
  await thread.terminals.close();
  await thread.writer.close();
}

function reportDefect(thread: Incarnation, event: { type: string; error?: unknown }): void {
  thread.env.logger.error({ threadId: thread.threadId, err: event.error }, "a thread's work failed by a defect");
  thread.publish("" as SubmissionId, {
    type: "error",
    message: `internal error: ${textOfThrown(event.error)}`,
    codex_error_info: "other",
  });
}
