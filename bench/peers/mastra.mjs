import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { LibSQLStore } from "@mastra/libsql";
import { Memory } from "@mastra/memory";
import { check, messagesOf } from "./words.mjs";

const RESOURCE = "bench";
const AT_ONCE = 500;

/** Its memory on libSQL in a file; its agents need a model of the AI SDK, so no message is sent. */
export const peer = {
  name: "Mastra, libSQL",
  version: process.env.SKEIN_PEER_VERSION,
  async open(folder) {
    const memoryOf = async () => {
      const storage = new LibSQLStore({ id: randomUUID(), url: `file:${join(folder, "mastra.db")}` });
      await storage.init();
      return new Memory({ storage, options: { lastMessages: false, semanticRecall: false } });
    };
    const memory = await memoryOf();
    const start = async () => (await memory.createThread({ resourceId: RESOURCE })).id;
    const timeAt = (at) => new Date(Date.UTC(2026, 0, 1) + at);
    return {
      start,
      async build(messages) {
        const threadId = await start();
        const all = messagesOf(messages).map(({ role, content }, at) => ({
          ...{ id: randomUUID(), threadId, resourceId: RESOURCE, role, createdAt: timeAt(at) },
          content: { format: 2, parts: [{ type: "text", text: content }] },
        }));
        for (let at = 0; at < messages; at += AT_ONCE)
          await memory.saveMessages({ messages: all.slice(at, at + AT_ONCE) });
        return threadId;
      },
      async fork(sourceThreadId, kept) {
        const messageFilter = { endDate: timeAt(kept - 1) };
        const { clonedMessages } = await memory.cloneThread({ sourceThreadId, options: { messageFilter } });
        check(clonedMessages.length, kept);
      },
      async reopen(threadId, messages) {
        const other = await memoryOf();
        const { messages: found } = await other.recall({ threadId, resourceId: RESOURCE, perPage: false });
        check(found.length, messages);
      },
    };
  },
};
