/** Two hundred agents, eight of them at a time, and a pipeline whose steps are tried again and never done twice. */
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

const manager = await ThreadManager.create({ store: memoryStore(), model });
const questions = Array.from({ length: 200 }, (_, n) => `question ${n}`);
const results = await manager.map(questions, { concurrency: 8 });
console.log(results.length, "answers,", peak <= 8 ? "never more than 8 at a time" : `${peak} at a time`);

const { thread } = await manager.startThread();
const draft = await thread.step("draft", async () => (await thread.run("Draft it.")).lastAgentMessage);
const flaky = ({ attempt }) => (attempt < 3 ? Promise.reject(new Error("busy")) : `sent ${draft}`);
const sent = await thread.step("send", flaky, { attempts: 5, backoff: { baseMs: 10 } });
console.log(sent, "|", await thread.step("send", () => "sent twice"));
await manager.shutdown();
