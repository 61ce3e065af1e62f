/** What of a recorded session is told otherwise here on purpose, and so is left out on both sides: see PROTOCOL.md. */
import type { Message } from "./test-client.ts";

/** Not told by us; or more often, since stock Codex leaves out what a command writes in its first moments. */
export const UNTOLD: ReadonlySet<string> = new Set(["thread/readState/changed", "item/commandExecution/outputDelta"]);

/** A revert reloads the thread in stock Codex, and does not here. */
export function withoutReloads(messages: readonly Message[]): Message[] {
  const typeOf = (message: Message | undefined) =>
    message?.method === "thread/status/changed" ? message.params.status.type : undefined;
  const comesBack = (message: Message | undefined) => ["idle", "systemError"].includes(typeOf(message));
  return messages.filter((message, index) => {
    const isLeaving = typeOf(message) === "notLoaded" && comesBack(messages[index + 1]);
    return !isLeaving && !(comesBack(message) && typeOf(messages[index - 1]) === "notLoaded");
  });
}

/** We tell the context's use after a revert too, and after the resume of every fork; and none where no history is read. */
export const withoutUsageAtResume = (messages: readonly Message[]): Message[] =>
  messages.filter(({ method }, index) => {
    const next = messages[index + 1]?.method ?? "";
    return method !== "thread/tokenUsage/updated" || !["thread/reverted", "thread/goal/cleared"].includes(next);
  });
