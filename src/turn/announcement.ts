/** How a turn begins: task_started, then the context that is due and the turn's input, in the order of SPEC 4.2. */

import { raceAbort } from "../kernel/cancellation.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { newItemId, type SubmissionId } from "../protocol/ids.ts";
import { legacyEventsOf } from "../protocol/legacy-events.ts";
import type { NamedOutputItem, ResponseItem } from "../protocol/response-item.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { TurnItem } from "../protocol/turn-item.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { mayMentionSkills } from "../services/skill-mentions.ts";
import type { SkillInjection } from "../services/skills-manager.ts";
import { contextWindowOf } from "./context-window.ts";
import type { Submission } from "./inbox.ts";
import { contextUpdate, initialContext } from "./initial-context.ts";
import type { TurnHost } from "./turn-host.ts";
import type { TurnRun } from "./turn-run.ts";
import { messageOf, splitInput } from "./user-message.ts";

/** The id of events that no submission causes: Codex names them after its internal turns. */
export const INTERNAL_SUBMISSION = "auto-compact-0" as SubmissionId;

export function announceTurn(host: TurnHost, run: TurnRun): void {
  recordInitialContext(host, run.config);
  host.publish(run.id, {
    type: "task_started",
    ...turnStamp(run),
    model_context_window: contextWindowOf(host, run.config),
  });
}

/** What a turn's first and last event say of it alike. */
export const turnStamp = ({ turnId, rootTurnId, startedAt }: TurnRun) => ({
  turn_id: turnId,
  ...(rootTurnId === turnId ? {} : { root_turn_id: rootTurnId }),
  started_at: Math.floor(startedAt / 1000),
});

function recordInitialContext(host: TurnHost, config: ResolvedThreadConfig): void {
  if (!host.past.isFresh || host.session.told !== undefined) return;
  for (const item of initialContext(config)) recordItem(host, INTERNAL_SUBMISSION, item);
  host.session.noteTold(config);
}

/** Records items that the model is to know from its next request on. They make no turn; a running one takes them as input (T5). */
export function injectItems(host: TurnHost, id: SubmissionId, items: readonly ResponseItem[]): void {
  recordInitialContext(host, host.config);
  for (const item of items) recordItem(host, id, item);
  host.intake.noteTaken(id);
}

/** Records the input that started the turn, unless that is done. Waits only for images and skills that have to be read. */
export function recordInput(host: TurnHost, run: TurnRun): void | Promise<void> {
  const submission = host.intake.inbox.take(run.id);
  if (submission === undefined) return run.recording;
  tellContext(host, run);
  return recordInOrder(host, run, [submission]);
}

/**
 * A history that never said (one given inline) is followed by the whole initial context, any other by what changed since.
 * While the history is still being loaded, nobody knows which: an interrupt then leaves it to the next turn.
 */
function tellContext(host: TurnHost, run: TurnRun): void {
  const told = host.session.told;
  if (told === undefined && host.history === undefined) return;
  const items = told === undefined ? initialContext(run.config) : contextUpdate(told, run.config);
  host.session.noteTold(run.config);
  for (const item of items) recordItem(host, run.id, item);
}

/** Records the input that joined the turn since the last look (T5): ordinary user messages, with their events. */
export const recordJoinedInput = (host: TurnHost, run: TurnRun): void | Promise<void> =>
  recordInOrder(host, run, host.intake.inbox.takeInput(run.id));

/** What is taken out of the inbox is recorded, whatever becomes of the turn meanwhile. */
export function recordInOrder(host: TurnHost, run: TurnRun, taken: readonly Submission[]): void | Promise<void> {
  if (taken.length === 0) return run.recording;
  run.noteTaken(taken);
  run.noteRecording(recordAll(host, run, taken, run.recording));
  return run.recording;
}

async function recordAll(
  host: TurnHost,
  run: TurnRun,
  taken: readonly Submission[],
  before: Promise<void> | undefined,
): Promise<void> {
  if (before !== undefined) await before;
  for (const submission of taken) {
    const recorded = recordUserMessage(host, run, submission);
    if (recorded !== undefined) await recorded;
    run.noteRecorded(submission);
    host.intake.noteTaken(submission.id);
  }
}

/**
 * The thread ends, and nothing can be waited for: records what can be recorded at once, also of what others were about to.
 * @returns what could not be
 */
export function recordNow(host: TurnHost, run: TurnRun, taken: readonly Submission[]): Submission[] {
  const left: Submission[] = [];
  for (const submission of [...run.unrecorded, ...taken]) {
    const recording = recordUserMessage(host, run, submission);
    if (recording === undefined) host.intake.noteTaken(submission.id);
    else {
      recording.catch(() => undefined); // its failure is nobody's any more
      left.push(submission);
    }
  }
  return left;
}

function recordUserMessage(host: TurnHost, run: TurnRun, { id, op }: Submission): void | Promise<void> {
  if (op.type === "inject_items") {
    for (const item of op.items) recordItem(host, id, item);
    return;
  }
  if (op.type !== "user_input" && op.type !== "user_turn") return;
  const { outputs, said: items } = splitInput(op.items);
  const clientName = "client_id" in op && op.client_id !== undefined ? { client_id: op.client_id } : {};
  if ("final_output_json_schema" in op) run.noteOutputSchema(op.final_output_json_schema);
  for (const output of outputs) recordToolOutput(host, run, id, output);
  if (items === undefined) return;
  const record = (message: ResponseItem, skills: SkillInjection) => {
    for (const warning of skills.warnings) host.publish(id, { type: "warning", message: warning });
    recordItem(host, id, message);
    if ("is_internal" in op && op.is_internal === true) return;
    publishWholeItem(host, run, id, { type: "UserMessage", id: newItemId(), ...clientName, content: [...items] });
    for (const skill of skills.messages) recordItem(host, id, skill);
  };
  const message = messageOf(items, { cwd: run.config.cwd, signal: run.signal });
  const skills = mayMentionSkills(items) ? readSkills(host, run, items) : NO_SKILLS;
  if (message instanceof Promise || skills instanceof Promise) {
    return Promise.all([message, skills]).then((parts) => record(...parts));
  }
  return record(message, skills);
}

function recordToolOutput(host: TurnHost, run: TurnRun, id: SubmissionId, item: NamedOutputItem): void {
  const { id: itemId = newItemId(), name, namespace, output } = item;
  recordItem(host, id, item);
  const named = namespace === undefined ? {} : { namespace };
  publishWholeItem(host, run, id, { type: "FunctionCallOutput", id: itemId, name, ...named, output });
}

/** The input is recorded also when its skills cannot be read, or are still being read at an abort. */
const readSkills = (host: TurnHost, run: TurnRun, items: readonly UserInput[]): Promise<SkillInjection> =>
  raceAbort(host.skillsFor(items), run.signal).catch((error: unknown) => ({
    messages: [],
    warnings: [`The skills of this input could not be read: ${textOfThrown(error)}`],
  }));

const NO_SKILLS: SkillInjection = { messages: [], warnings: [] };

/** An item enters the history: at the thread's door it is stored, taken into the history in memory, and shown. */
export const recordItem = (host: TurnHost, id: SubmissionId, item: ResponseItem): void =>
  host.publish(id, { type: "raw_response_item", item });

/** An item without deltas: started and completed at once, followed by its legacy events. */
export function publishWholeItem(host: TurnHost, run: TurnRun, id: SubmissionId, item: TurnItem): void {
  publishItemStart(host, run, item, id);
  publishItemEnd(host, run, item, id);
}

export const publishItemStart = (host: TurnHost, run: TurnRun, item: TurnItem, id = run.id): void =>
  host.publish(id, { type: "item_started", thread_id: host.threadId, turn_id: run.turnId, item });

/** The end of an item, followed by its legacy events. */
export function publishItemEnd(host: TurnHost, run: TurnRun, item: TurnItem, id = run.id): void {
  host.publish(id, { type: "item_completed", thread_id: host.threadId, turn_id: run.turnId, item });
  for (const msg of legacyEventsOf(item)) host.publish(id, msg);
}
