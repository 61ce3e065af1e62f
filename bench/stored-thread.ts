/** Threads for the benches of the store: so many messages, written by the store itself, and then closed. */
import { newThreadId, newTurnId, type ThreadId } from "../src/protocol/ids.ts";
import { assistantMessage, userMessage } from "../src/protocol/response-item.ts";
import type { SessionMeta } from "../src/protocol/rollout.ts";
import { type FileStore, fileStore } from "../src/store/file/file-store.ts";
import type { ThreadWriter } from "../src/store/thread-store.ts";
import { benchFolder } from "./folders.ts";

/** About what a line of a real conversation weighs. */
const TEXT = "The quick brown fox jumps over the lazy dog, and then it sits down to think. ".repeat(4);

export const metaOf = (id: ThreadId = newThreadId()): SessionMeta => ({
  id,
  timestamp: new Date().toISOString(),
  cwd: "/bench",
  originator: "bench",
  cli_version: "0.0.0",
  source: "exec",
  model_provider: "scripted",
});

/** Appends turns until the thread has `messages` messages: a user's and an answer, with what a turn stores around them. */
export async function appendMessages(writer: ThreadWriter, messages: number): Promise<void> {
  for (let at = 0; at < messages; at += 2) {
    const turn_id = newTurnId();
    const place = { thread_id: writer.threadId, turn_id };
    const content = [{ type: "text" as const, text: TEXT }];
    writer.append({ type: "event_msg", payload: { type: "task_started", turn_id } });
    writer.append({ type: "response_item", payload: userMessage(TEXT) });
    writer.append({
      type: "event_msg",
      payload: { type: "item_completed", ...place, item: { type: "UserMessage", id: turn_id, content } },
    });
    writer.append({ type: "response_item", payload: assistantMessage(TEXT) });
    writer.append({ type: "event_msg", payload: { type: "task_complete", turn_id, last_agent_message: TEXT } });
    if (at % 2_000 === 0) await writer.flush();
  }
  await writer.flush();
}

/** Runs with a file store in a folder of its own. */
export async function withStore<T>(
  work: (store: FileStore, home: string) => Promise<T>,
  options: Partial<Parameters<typeof fileStore>[0]> = {},
): Promise<T> {
  const home = await benchFolder();
  const store = fileStore({ home, ...options });
  try {
    return await work(store, home);
  } finally {
    await store.close();
  }
}
