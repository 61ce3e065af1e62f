/**
 * A turn that an earlier life of the thread has left open, and that this one goes on with (`recovery: "continue"`). What is
 * stored of it stays; an item of the answer that had not ended was never stored, and so is dropped.
 */
import { TurnGivenUpError } from "../protocol/errors.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import { turnStamp } from "./announcement.ts";
import { contextWindowOf } from "./context-window.ts";
import { callOf } from "./history.ts";
import { noteTask } from "./task-notes.ts";
import { recordOutputOf, startCall } from "./tool-calls.ts";
import type { TurnHost } from "./turn-host.ts";
import type { TurnRun } from "./turn-run.ts";

/** What the model is told of a call that may have been made. */
export const UNKNOWN_EFFECT =
  "The process that ran this call ended before the call did. Nobody knows whether it took effect, so it was not made again: find out before you repeat it.";

export function announceResumed(host: TurnHost, run: TurnRun, attempt: number): void {
  const model_context_window = contextWindowOf(host, run.config);
  host.publish(run.id, { type: "turn_resumed", attempt, ...turnStamp(run), model_context_window });
}

/**
 * That it was taken up is stored before it does anything: what ends its process each time is to be counted.
 * @throws TurnGivenUpError when that was too often
 */
export async function countAttempt(host: TurnHost, run: TurnRun): Promise<void> {
  const { resumed } = run;
  if (resumed === undefined) return;
  if (resumed.isGivenUp) throw new TurnGivenUpError(run.turnId, resumed.attempt - 1);
  noteTask(host, run, { id: run.id, kind: run.kind, attempt: resumed.attempt });
  await host.storage.flush();
}

/**
 * Sees to the calls that have no output: those that may be made again begin anew, the others get an output that says why not.
 * @returns whether any has begun
 */
export function takeUpCalls(host: TurnHost, run: TurnRun): boolean {
  const { resumed } = run;
  if (resumed === undefined) return false;
  run.noteTakenUp();
  const open = new Map(host.history?.openCalls().map((item) => [callOf(item), item]));
  for (const { callId, state } of resumed.calls) {
    const item = open.get(callId);
    if (item === undefined) continue;
    if (state === "asking" || isIdempotent(host, item)) startCall(host, run, item);
    else recordOutputOf(host, run, item, UNKNOWN_EFFECT);
  }
  return run.calls.length > 0;
}

function isIdempotent({ tools }: TurnHost, item: ResponseItem): boolean {
  if (item.type === "function_call") return tools.current.isIdempotent(item.name, item.namespace);
  return item.type === "custom_tool_call" && tools.current.isIdempotent(item.name, undefined);
}
