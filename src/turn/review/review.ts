/**
 * A review: a turn whose work another thread does. The reviewer knows nothing of the conversation; what it does is told as
 * this turn's items, and the conversation keeps what it found.
 *
 * - Between enteredReviewMode and exitedReviewMode comes all that the reviewer does; both come exactly once, however it ends.
 * - The reviewer's thread does not outlive the turn.
 */
import type { EventMsg } from "../../protocol/event.ts";
import { newItemId } from "../../protocol/ids.ts";
import { assistantMessage, userMessage } from "../../protocol/response-item.ts";
import type { ThreadConfig } from "../../protocol/thread-config.ts";
import type { ReviewerResult } from "../agents.ts";
import { publishWholeItem, recordItem } from "../announcement.ts";
import { failureOf } from "../failure.ts";
import type { TurnHost } from "../turn-host.ts";
import type { TurnRun } from "../turn-run.ts";
import { INTERRUPTED, type ReviewOutput, readReview, renderReview } from "./output.ts";
import { REVIEWER_INSTRUCTIONS, reviewPrompt } from "./prompt.ts";
import { type ReviewTarget, reviewLabel, reviewTargetSchema } from "./target.ts";

/** Told before the turn itself, as Codex does. */
export function enterReview(host: TurnHost, run: TurnRun): void {
  const target = targetOf(host, run);
  if (target === undefined) return;
  const user_facing_hint = reviewLabel(target);
  publishWholeItem(host, run, run.id, { type: "EnteredReviewMode", id: newItemId(), target, user_facing_hint });
}

function targetOf(host: TurnHost, run: TurnRun): ReviewTarget | undefined {
  const op = host.intake.inbox.startOf(run.id)?.op;
  if (op?.type !== "review") return undefined;
  return reviewTargetSchema.safeParse(Object(op.review_request).target).data;
}

/** The turn's own work. It is attended to its end also when the turn is interrupted meanwhile. */
export function runReview(host: TurnHost, run: TurnRun): Promise<void> {
  const target = targetOf(host, run);
  host.intake.inbox.take(run.id);
  host.intake.noteTaken(run.id);
  if (target === undefined) return Promise.resolve();
  const work = review(host, run, target);
  run.beside.add(work);
  void work.finally(() => run.beside.delete(work));
  return work;
}

async function review(host: TurnHost, run: TurnRun, target: ReviewTarget): Promise<void> {
  let answer: string | null = null;
  try {
    const prompt = await reviewPrompt(target, {
      folder: run.config.cwd,
      environment: host.env.commandEnvironment,
      signal: run.signal,
    });
    const result = await host.env.agents.review({
      threadId: host.threadId,
      config: reviewerConfig(run),
      prompt,
      onEvent: (msg) => tell(host, run, msg),
      signal: run.signal,
    });
    if (result.error !== null) fail(host, run, result.error);
    answer = result.status === "completed" ? (result.lastAgentMessage ?? "") : null;
  } catch (error) {
    if (!run.signal.aborted) fail(host, run, failureOf(error));
  }
  if (answer === null || answer.trim() === "") leaveWithout(host, run);
  else leaveWith(host, run, readReview(answer));
}

/** The thread's own settings, but for what makes it a reviewer: it asks nobody and starts nobody. */
function reviewerConfig({ config }: TurnRun): ThreadConfig {
  const {
    model,
    modelProvider,
    cwd,
    sandboxPolicy,
    permissionProfile,
    reasoningEffort,
    reasoningSummary,
    serviceTier,
  } = config;
  const { streamMaxRetries, requestMaxRetries, ephemeral, builtInTools } = config;
  return {
    model: config.reviewModel ?? model,
    ...{ modelProvider, cwd, sandboxPolicy, permissionProfile, reasoningEffort, reasoningSummary, serviceTier },
    ...{ streamMaxRetries, requestMaxRetries, ephemeral },
    approvalPolicy: "never",
    baseInstructions: REVIEWER_INSTRUCTIONS,
    builtInTools: builtInTools.filter((name) => name === "unified_exec" || name === "shell"),
    tools: [],
    mcpServers: {},
  };
}

/** The reason first, then the end of the review, then that of the turn. */
function fail(host: TurnHost, run: TurnRun, error: NonNullable<ReviewerResult["error"]>): void {
  run.fail(error);
  host.publish(run.id, { type: "error", ...error });
}

function leaveWith(host: TurnHost, run: TurnRun, output: ReviewOutput): void {
  const text = renderReview(output);
  remember(host, run, { context: FINISHED, results: text });
  leave(host, run, output, text);
}

function leaveWithout(host: TurnHost, run: TurnRun): void {
  remember(host, run, { context: UNFINISHED, results: "None." });
  leave(host, run, null, INTERRUPTED);
}

function leave(host: TurnHost, run: TurnRun, review_output: ReviewOutput | null, text: string): void {
  publishWholeItem(host, run, run.id, { type: "ExitedReviewMode", id: newItemId(), review_output });
  recordItem(host, run.id, assistantMessage(text));
  const content = [{ type: "Text" as const, text }];
  run.noteMessage(text);
  publishWholeItem(host, run, run.id, { type: "AgentMessage", id: `msg_${newItemId()}`, content });
}

const FINISHED =
  "The user had the code reviewed. Below is all that the reviewer found; the user may ask for some of it to be mended.";
const UNFINISHED =
  "The user began a review, which was interrupted. If the user asks for it, say that /review starts it again and has to run to its end.";

/** What the model of the conversation knows of the review. */
function remember(host: TurnHost, run: TurnRun, { context, results }: { context: string; results: string }): void {
  const lines = ["<user_action>", `  <context>${context}</context>`, "  <action>review</action>", "  <results>"];
  recordItem(host, run.id, userMessage([...lines, `  ${results}`, "  </results>", "</user_action>"].join("\n")));
}

/** What of the reviewer's events is told as this turn's. Its answer is told at the end, and its usage is its own. */
function tell(host: TurnHost, run: TurnRun, msg: EventMsg): void {
  if (run.ended || !TOLD.has(msg.type)) return;
  if ((msg.type === "item_started" || msg.type === "item_completed") && msg.item.type === "AgentMessage") return;
  const place = {
    ...("thread_id" in msg && { thread_id: host.threadId }),
    ...("turn_id" in msg && { turn_id: run.turnId }),
  };
  host.publish(run.id, { ...msg, ...place } as EventMsg);
}

const TOLD: ReadonlySet<string> = new Set([
  ...["item_started", "item_completed", "warning", "stream_error"],
  ...["reasoning_content_delta", "reasoning_raw_content_delta", "agent_reasoning_section_break"],
  ...["exec_command_begin", "exec_command_output_delta", "exec_command_end", "terminal_interaction"],
]);
