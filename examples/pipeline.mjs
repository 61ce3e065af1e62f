/** A pipeline of three logics, two of them threads under the first; a turn that fails is tried once more. */
import { defineThreadLogic, memoryStore, ThreadManager } from "skein";

let failures = 0;
const parser = defineThreadLogic({ turn: ({ text }) => text.trim().toUpperCase() });
const counter = defineThreadLogic({
  turn: ({ text }) => {
    if (text === "TWO" && failures === 0) {
      failures += 1;
      throw new Error("no luck");
    }
    return `${text}:${text.length}`;
  },
});
const pipeline = defineThreadLogic({
  start: async ({ thread }) => ({
    parse: await thread.spawn({ logic: "parser" }),
    count: await thread.spawn({ logic: "counter" }),
  }),
  turn: async ({ text, state, say }) => {
    for (const line of text.split("\n")) {
      const parsed = (await state.parse.run(line)).lastAgentMessage;
      let result = await state.count.run(parsed);
      if (result.status === "failed") result = await state.count.run(parsed);
      say(result.lastAgentMessage);
    }
  },
});

const manager = await ThreadManager.create({ store: memoryStore(), logics: { parser, counter, pipeline } });
const { thread } = await manager.startThread({ logic: "pipeline" });
thread.events$.subscribe(({ msg }) => msg.type === "agent_message" && console.log(msg.message));
await thread.run("one\n two\nthree");
console.log("failures", failures, "threads", (await manager.listThreadIds()).length);
await manager.shutdown();
