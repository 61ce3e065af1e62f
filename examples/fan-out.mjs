/** Two hundred agents, eight of them at a time: the manager's limit does the queueing, in order of asking. */
import { memoryStore, scriptedClient, ThreadManager } from "skein";

const answers = scriptedClient();
let running = 0;
let peak = 0;
/** Any model, counted: how many requests run at the same time. */
const model = {
  providerId: "counted",
  async *stream(request, options) {
    running += 1;
    peak = Math.max(peak, running);
    try {
      yield* answers.stream(request, options);
    } finally {
      running -= 1;
    }
  },
};

const manager = await ThreadManager.create({ store: memoryStore(), model, limits: { runningTurns: 8 } });
const results = await Promise.all(
  Array.from({ length: 200 }, async (_, n) => {
    const { thread } = await manager.startThread();
    await using _end = thread;
    return await thread.run(`question ${n}`);
  }),
);
const answered = results.filter(({ status }) => status === "completed").length;
console.log(answered, "answers,", peak <= 8 ? "never more than 8 at a time" : `${peak} at a time`);
await manager.shutdown();
