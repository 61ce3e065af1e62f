/**
 * Two agents debate, and a human stands in the middle: after each round the moderator's tool asks whether it is enough. Here the
 * human is a few lines that answer for one; `thread.pendingApprovals`, or a client of the app-server, are the same question.
 */
import { call, memoryStore, scriptedClient, ThreadManager, tool } from "skein";

const said = ({ input }, text) => JSON.stringify(input).split(text).length - 1;
/** A moderator that wants to end after each round; the debaters make a point each time they are asked. */
const model = scriptedClient((request) => {
  if (!request.instructions?.includes("moderator")) return `point ${said(request, '"role":"assistant"') + 1}`;
  const isTold = request.input.at(-1)?.type === "function_call_output";
  return isTold ? "So be it." : [call("conclude", { verdict: "a draw" })];
});
const conclude = tool({
  name: "conclude",
  description: "Ends the debate with a verdict.",
  approval: ({ verdict }) => `End the debate with ${verdict}?`,
  execute: ({ verdict }) => {
    console.log("the verdict:", verdict);
    over.abort();
    return "It is over.";
  },
});
const over = new AbortController();
const manager = await ThreadManager.create({
  store: memoryStore(),
  model,
  config: { builtInTools: [], approvalPolicy: "on-request" },
});
const side = async (role, more) =>
  (await manager.startThread({ baseInstructions: `You are the ${role}.`, ...more })).thread;
const [pro, con, moderator] = await manager.gather([
  side("pro"),
  side("con"),
  side("moderator", { tools: [conclude] }),
]);

let round = 0;
moderator.events$.subscribe(({ msg }) => {
  if (msg.type !== "exec_approval_request") return;
  const decision = round < 2 ? "denied" : "approved";
  console.log(`the human is asked: ${msg.reason} ${decision}`);
  void moderator.submit({ type: "exec_approval", id: msg.call_id, decision });
});
while (!over.signal.aborted) {
  round += 1;
  const points = await manager.gather([() => pro.run(`round ${round}`), () => con.run(`round ${round}`)]);
  const [forIt, against] = points.map(({ lastAgentMessage }) => lastAgentMessage);
  console.log(`round ${round}: ${forIt} against ${against}`);
  await moderator.run(`round ${round}: ${forIt}; ${against}`);
}
await manager.shutdown();
