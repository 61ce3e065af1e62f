/** What of a recorded session is told otherwise here on purpose, and so is left out on both sides: see PROTOCOL.md. */
import type { Message } from "./test-client.ts";

/** Not told by us; or more often, since stock Codex leaves out what a command writes in its first moments. */
export const UNTOLD: ReadonlySet<string> = new Set(["thread/readState/changed", "item/commandExecution/outputDelta"]);

/** An agent's thread is told of by thread/started here; by its status in stock Codex, which warns of its model too. */
export function withoutArrivals(told: readonly Message[]): readonly Message[] {
  const started = told.filter(({ method }) => method === "thread/started");
  if (!started.every(({ params }) => params.thread.parentThreadId !== null)) return told;
  const statusOf = (message: Message | undefined) => message?.params?.status?.type;
  return told.filter((message, index) => {
    if (message.method === "thread/started") return false;
    const before = told[index - 1];
    return statusOf(message) !== "idle" || !(before === undefined || statusOf(before) === "notLoaded");
  });
}

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
