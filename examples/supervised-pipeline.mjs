/**
 * Three logics, one after another, under a supervisor: one time in five the actor crashes under its job. The supervisor brings it
 * back, the turn is told as failed to whoever asked, and the job is given again; so all work is done, and each once.
 */
import { memoryStore, ThreadManager } from "skein";
import { fromCallback } from "xstate";

let crashes = 0;
let seed = 7;
const random = () => {
  seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
  return seed / 2 ** 31;
};

const stage = (work) =>
  fromCallback(({ receive, emit }) => {
    const say = (id, msg) => emit({ type: msg.type, id, msg });
    receive(({ type, id, op, msg }) => {
      if (type === "session.configure") return say("", msg);
      if (op?.type === "shutdown") return say(id, { type: "shutdown_complete" });
      if (op?.type !== "user_input") return;
      say(id, { type: "task_started" });
      if (random() < 0.2) throw new Error("out of luck");
      const message = work(op.items[0].text);
      say(id, { type: "agent_message", message });
      say(id, { type: "task_complete", last_agent_message: message });
    });
  });

const written = [];
const manager = await ThreadManager.create({
  store: memoryStore(),
  logics: {
    parse: stage((text) => text.trim()),
    count: stage((text) => `${text}:${text.length}`),
    write: stage((text) => {
      written.push(text);
      return text;
    }),
  },
  supervision: { maxRestarts: 1_000, backoffMs: 1, maxBackoffMs: 5 },
});
manager.threadCrashed$.subscribe(() => {
  crashes += 1;
});
const stages = [];
for (const logic of ["parse", "count", "write"]) stages.push((await manager.startThread({ logic })).thread);

/** One job in one stage: given again until its turn has ended well. */
async function done(thread, text) {
  for (;;) {
    const { status, lastAgentMessage } = await thread.run(text);
    if (status === "completed") return lastAgentMessage;
  }
}

for (let job = 1; job <= 40; job += 1) {
  let text = ` job ${job} `;
  for (const thread of stages) text = await done(thread, text);
}
console.log(
  written.length,
  "jobs written,",
  new Set(written).size,
  "different;",
  crashes > 5 ? "many" : "few",
  "crashes",
);
await manager.shutdown();
