import { Agent, MemorySession, run, setTracingDisabled, Usage } from "@openai/agents";
import { check, messagesOf, TEXT } from "./words.mjs";

setTracingDisabled(true);

/** Answers at once. */
const model = {
  async getResponse() {
    const content = [{ type: "output_text", text: TEXT }];
    return { usage: new Usage(), output: [{ type: "message", role: "assistant", status: "completed", content }] };
  },
};

const itemOf = ({ role, content: text }) =>
  role === "user"
    ? { type: "message", role, content: text }
    : { type: "message", role, status: "completed", content: [{ type: "output_text", text }] };

export const peer = {
  name: "OpenAI Agents, MemorySession",
  version: process.env.SKEIN_PEER_VERSION,
  async open() {
    const agent = new Agent({ name: "bench", instructions: "", model });
    return {
      start: async () => new MemorySession(),
      message: (session, text) => run(agent, text, { session }),
      build: async (messages) => new MemorySession({ initialItems: messagesOf(messages).map(itemOf) }),
      async fork(session, kept) {
        const fork = new MemorySession({ initialItems: (await session.getItems()).slice(0, kept) });
        check((await fork.getItems(1)).length, 1);
      },
      /** It has no store: its items are read again. */
      async reopen(session, messages) {
        check((await session.getItems()).length, messages);
      },
    };
  },
};
