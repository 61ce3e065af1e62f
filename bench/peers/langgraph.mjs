import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { AIMessage, HumanMessage } from "@langchain/core/messages";
import { MemorySaver, MessagesAnnotation, StateGraph } from "@langchain/langgraph";
import { check, messagesOf, TEXT } from "./words.mjs";

const isSqlite = process.env.SKEIN_PEER === "sqlite";
const memory = new MemorySaver();

async function saverOf(folder) {
  if (!isSqlite) return memory;
  const { SqliteSaver } = await import("@langchain/langgraph-checkpoint-sqlite");
  return SqliteSaver.fromConnString(join(folder, "checkpoints.sqlite"));
}

const graphOf = async (folder) =>
  new StateGraph(MessagesAnnotation)
    .addNode("agent", () => ({ messages: [new AIMessage(TEXT)] }))
    .addEdge("__start__", "agent")
    .compile({ checkpointer: await saverOf(folder) });

const threadOf = (thread_id) => ({ configurable: { thread_id } });
const own = ({ role, content }) => (role === "user" ? new HumanMessage(content) : new AIMessage(content));

export const peer = {
  name: isSqlite ? "LangGraph.js, SQLite" : "LangGraph.js, in memory",
  version: process.env.SKEIN_PEER_VERSION,
  async open(folder) {
    const graph = await graphOf(folder);
    const message = (config, text) => graph.invoke({ messages: [new HumanMessage(text)] }, config);
    return {
      /** A thread of it comes to be with what is put into it. */
      async start() {
        const config = threadOf(randomUUID());
        await graph.updateState(config, { messages: [] }, "agent");
        return config;
      },
      message,
      /** In two halves, so that there is a checkpoint in the middle. */
      async build(messages) {
        const config = threadOf(randomUUID());
        const all = messagesOf(messages).map(own);
        const middle = await graph.updateState(config, { messages: all.slice(0, messages / 2) }, "agent");
        await graph.updateState(config, { messages: all.slice(messages / 2) }, "agent");
        return { config, middle };
      },
      async fork({ middle }, kept) {
        const branch = await graph.updateState(middle, { messages: [] }, "agent");
        check((await graph.getState(branch)).values.messages.length, kept);
      },
      async reopen({ config }, messages) {
        const other = await graphOf(folder);
        const state = await other.getState({ configurable: { thread_id: config.configurable.thread_id } });
        // Forks of it are its newest checkpoints.
        if (state.values.messages.length < messages / 2) check(state.values.messages.length, messages);
      },
    };
  },
};
