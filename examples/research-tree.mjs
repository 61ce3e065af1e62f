/**
 * A question is split into others, and these again: each is a step of the root, so that a research that was cut off goes on with
 * what it has found. All agents of the tree share one budget; what it does not reach is told as a gap.
 */
import { memoryStore, scriptedClient, ThreadManager } from "skein";

/** Splits what it is asked, down to the third level, where it finds something. */
const model = scriptedClient(({ input }) => {
  const question =
    JSON.stringify(input)
      .match(/question ([\d.]+)/g)
      ?.at(-1) ?? "";
  return question.split(".").length < 3 ? `${question}.1\n${question}.2` : `found: ${question}`;
});
const manager = await ThreadManager.create({ store: memoryStore(), model });
const { thread: root } = await manager.startThread({ treeBudget: { modelRequests: 6 } });

const ask = async (question, { startThread, signal }) => {
  const agent = await startThread({}, { parentThreadId: root.id });
  const { status, lastAgentMessage } = await agent.run(question, { signal });
  if (status !== "completed") throw new Error("out of budget");
  return lastAgentMessage ?? "";
};
/** What is found below a question, and what could not be asked any more. */
async function research(question) {
  const [outcome] = await manager.map([question], {
    onFailure: "settle",
    run: (one, context) => root.step(one, () => ask(one, context), { attempts: 1 }),
  });
  if (outcome.status === "rejected") return [`gap: ${question}`];
  if (outcome.value.startsWith("found")) return [outcome.value];
  return (await manager.map(outcome.value.split("\n"), { concurrency: 2, run: research })).flat();
}

const report = await research("question 1");
console.log(report.filter((line) => line.startsWith("found")).length, "findings");
console.log(report.filter((line) => line.startsWith("gap")).length, "gap, for want of budget");
const again = await research("question 1.1.1");
console.log("asked again, from what is stored:", again[0]);
await manager.shutdown();
