/** The supervisor by its messages alone, as another actor would speak to it: no facade, typed answers. */
import { ask, memoryStore, ThreadManager } from "skein";

const manager = await ThreadManager.create({ store: memoryStore() });
const { supervisor } = manager;

const { threadId, thread } = await ask(supervisor, { type: "thread.spawn", config: { model: "any" } });
const ended = new Promise((resolve) => thread.actor.on("task_complete", ({ msg }) => resolve(msg.last_agent_message)));
const op = { type: "user_input", items: [{ type: "text", text: "Hello!" }] };
await ask(supervisor, { type: "thread.send", threadId, op });
console.log(await ended);

const fork = await ask(supervisor, { type: "thread.fork", from: threadId, at: "full" });
console.log("threads", (await ask(supervisor, { type: "thread.list" })).length);

// Without `ask`: the answer comes to `reply`.
supervisor.send({
  type: "thread.get",
  threadId: fork.threadId,
  reply: (outcome) => console.log("found", outcome.ok && outcome.value.id === fork.threadId),
});
supervisor.send({ type: "thread.get", threadid: threadId, reply: ({ error }) => console.log(error.message) });

const removed = await ask(supervisor, { type: "thread.remove", threadId: fork.threadId });
await removed.shutdown();
console.log("threads", (await ask(supervisor, { type: "thread.list" })).length);
await manager.shutdown();
