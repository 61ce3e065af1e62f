/** Why an op failed, for whoever waits for it in this process: the event that tells of it is plain data, and says it in words alone. */
import { textOfThrown } from "../kernel/thrown.ts";
import type { ErrorEvent } from "../protocol/event.ts";

const causes = new WeakMap<ErrorEvent, unknown>();

/** The event that says what an op failed by. */
export function failureEvent(cause: unknown, codex_error_info: ErrorEvent["codex_error_info"]): ErrorEvent {
  const msg: ErrorEvent = { type: "error", message: textOfThrown(cause), codex_error_info };
  causes.set(msg, cause);
  return msg;
}

/** What an op failed by; undefined for one that was refused. */
export const causeOf = (msg: ErrorEvent): unknown => causes.get(msg);
