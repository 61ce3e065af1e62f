/** A thread whose logic is a callback of your own: it counts what it is told, without any model. */
import { memoryStore, ThreadManager } from "skein";
import { fromCallback } from "xstate";

const counter = fromCallback(({ receive, emit }) => {
  let count = 0;
  const say = (id, msg) => emit({ type: msg.type, id, msg });
  receive((command) => {
    if (command.type === "session.configure") say("", command.msg);
    if (command.type !== "op.submit") return;
    const { id, op } = command;
    if (op.type === "shutdown") return say(id, { type: "shutdown_complete" });
    if (op.type !== "user_input") return;
    count += 1;
    say(id, { type: "task_started", turn_id: id });
    say(id, { type: "agent_message", message: `message ${count}` });
    say(id, { type: "task_complete", turn_id: id, last_agent_message: `message ${count}` });
  });
});

const manager = await ThreadManager.create({ store: memoryStore(), threadLogic: counter });
const { thread } = await manager.startThread();
console.log((await thread.run("one")).lastAgentMessage);
console.log((await thread.run("two")).lastAgentMessage);
await manager.shutdown();
