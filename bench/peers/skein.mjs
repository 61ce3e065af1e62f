import { pathToFileURL } from "node:url";
import { check, TEXT } from "./words.mjs";

const { ThreadManager, fileStore, memoryStore, scriptedClient, say } = await import(
  pathToFileURL(process.env.SKEIN_DIST ?? "").href
);
const isInMemory = process.env.SKEIN_PEER === "memory";

/** A message of a thread's history, as it is stored. */
const itemOf = (at) => ({
  type: "response_item",
  payload: {
    type: "message",
    role: at % 2 === 0 ? "user" : "assistant",
    content: [{ type: at % 2 === 0 ? "input_text" : "output_text", text: TEXT }],
  },
});

export const peer = {
  name: isInMemory ? "skein, in memory" : "skein",
  version: process.env.SKEIN_PEER_VERSION,
  async open(home) {
    const memory = memoryStore();
    const storeOf = () => (isInMemory ? memory : fileStore({ home }));
    const model = scriptedClient(() => [say(TEXT)]);
    const managerOf = () => ThreadManager.create({ store: storeOf(), model, config: { builtInTools: [] } });
    const manager = await managerOf();
    return {
      start: async () => (await manager.startThread()).thread,
      message: (thread, text) => thread.run(text),
      async build(messages) {
        const { thread } = await manager.startThread();
        const { id } = thread;
        await thread.shutdown();
        const writer = await manager.store.open(id);
        for (let at = 0; at < messages; at += 1) writer.append(itemOf(at));
        await writer.close();
        return id;
      },
      async fork(from, middle) {
        const at = { beforeUserMessage: Math.ceil(middle / 2) };
        const { thread } = await manager.forkThread({ from, at }, { initialMessages: "none" });
        await thread.shutdown();
      },
      /** By another manager, with the history as the model would get it. */
      async reopen(id, messages) {
        const other = await managerOf();
        let found = 0;
        for await (const page of other.store.load(id))
          found += page.filter(({ type }) => type === "response_item").length;
        check(found, messages);
        const { thread } = await other.resumeThread(id, undefined, { initialMessages: "none" });
        await thread.shutdown();
        await other.shutdown();
      },
    };
  },
};
