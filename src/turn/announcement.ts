/** How a turn begins: task_started, then the context that is due and the turn's input, in the order of SPEC 4.2. */

import type { SubmissionId } from "../protocol/ids.ts";
import { newItemId } from "../protocol/ids.ts";
import { legacyEventsOf } from "../protocol/legacy-events.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { TurnItem } from "../protocol/turn-item.ts";
import type { SkillInjection } from "../services/skills-manager.ts";
import type { Submission } from "./inbox.ts";
import { environmentUpdate, initialContext } from "./initial-context.ts";
import type { TurnHost } from "./turn-host.ts";
import type { TurnRun } from "./turn-run.ts";
import { messageOf } from "./user-message.ts";

/** The id of events that no submission causes: Codex names them after its internal turns. */
export const INTERNAL_SUBMISSION = "auto-compact-0" as SubmissionId;

export function announceTurn(host: TurnHost, run: TurnRun): void {
  recordInitialContext(host);
  host.publish(run.id, {
    type: "task_started",
    turn_id: run.turnId,
    started_at: Math.floor(run.startedAt / 1000),
    model_context_window: host.config.modelContextWindow ?? null,
  });
}

function recordInitialContext(host: TurnHost): void {
  if (!host.isFresh || host.toldEnvironment !== undefined) return;
  for (const item of initialContext(host.config)) recordItem(host, INTERNAL_SUBMISSION, item);
  host.toldEnvironment = host.config;
}

/** Records items that the model is to know from its next request on. They make no turn. */
export function injectItems(host: TurnHost, id: SubmissionId, items: readonly ResponseItem[]): void {
  recordInitialContext(host);
  for (const item of items) recordItem(host, id, item);
}

/** Records the input that started the turn. Waits only for images that have to be read. */
export function recordInput(host: TurnHost, run: TurnRun): void | Promise<void> {
  if (run.inputRecorded) return;
  run.inputRecorded = true;
  const submission = host.inbox.take(run.id);
  const told = host.toldEnvironment;
  const update = told === undefined ? undefined : environmentUpdate(told, host.config);
  host.toldEnvironment = host.config;
  if (update !== undefined) recordItem(host, run.id, update);
  if (submission !== undefined) return recordUserMessage(host, run, submission);
}

/** Records the input that joined the turn since the last look (T5): ordinary user messages, with their events. */
export async function recordJoinedInput(host: TurnHost, run: TurnRun): Promise<void> {
  for (const submission of host.inbox.takeInput()) await recordUserMessage(host, run, submission);
}

function recordUserMessage(host: TurnHost, run: TurnRun, submission: Submission): void | Promise<void> {
  const { op } = submission;
  const items = op.type === "user_input" || op.type === "user_turn" ? op.items : [];
  if ("final_output_json_schema" in op) run.outputSchema = op.final_output_json_schema;
  const record = (message: ResponseItem, skills: SkillInjection) => {
    for (const warning of skills.warnings) host.publish(submission.id, { type: "warning", message: warning });
    recordItem(host, submission.id, message);
    publishWholeItem(host, run, submission.id, { type: "UserMessage", id: newItemId(), content: items });
    for (const skill of skills.messages) recordItem(host, submission.id, skill);
  };
  const message = messageOf(items);
  const skills = items.some((item) => item.type === "skill") ? host.skillsFor(items) : NO_SKILLS;
  if (message instanceof Promise || skills instanceof Promise) {
    return Promise.all([message, skills]).then((parts) => record(...parts));
  }
  return record(message, skills);
}

const NO_SKILLS: SkillInjection = { messages: [], warnings: [] };

/** An item enters the history: at the thread's door it is stored, taken into the history in memory, and shown. */
export const recordItem = (host: TurnHost, id: SubmissionId, item: ResponseItem): void =>
  host.publish(id, { type: "raw_response_item", item });

/** An item without deltas: started and completed at once, followed by its legacy events. */
export function publishWholeItem(host: TurnHost, run: TurnRun, id: SubmissionId, item: TurnItem): void {
  const place = { thread_id: host.threadId, turn_id: run.turnId };
  host.publish(id, { type: "item_started", ...place, item });
  host.publish(id, { type: "item_completed", ...place, item });
  for (const msg of legacyEventsOf(item)) host.publish(id, msg);
}
