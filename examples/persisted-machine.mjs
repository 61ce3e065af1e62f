/**
 * A thread that is a machine of yours and whose state outlives the process: it is killed in each state, and goes on from there.
 * `persist: "snapshot"` stores the machine's snapshot in the thread's rollout whenever it has changed.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { fileStore, ThreadManager } from "skein";
import { assign, emit, setup } from "xstate";

const say = (make) => emit(({ context, event }) => ({ id: event.id, ...make(context, event) }));
const event = (type, more = {}) => ({ type, msg: { type, ...more } });

/** An order: each input brings it one step further, and is answered with where it is now. */
const order = setup({
  guards: {
    isInput: ({ event: { op } }) => op.type === "user_input",
    isEnd: ({ event: { op } }) => op.type === "shutdown",
  },
  actions: {
    count: assign({ steps: ({ context }) => context.steps + 1 }),
    begin: say(() => event("task_started")),
    tell: say(({ steps }, { op }) => event("agent_message", { message: `${op.items[0].text}, step ${steps}` })),
    end: say(() => event("task_complete", { last_agent_message: null })),
  },
}).createMachine({
  context: { steps: 0 },
  initial: "open",
  on: {
    "session.configure": { actions: emit(({ event: { msg } }) => ({ type: msg.type, id: "", msg })) },
    "op.submit": { guard: "isEnd", target: ".closed" },
  },
  states: {
    ...Object.fromEntries(
      [
        ["open", "paid"],
        ["paid", "packed"],
        ["packed", "sent"],
        ["sent", "sent"],
      ].map(([state, target]) => [
        state,
        {
          on: {
            "op.submit": [
              { guard: "isEnd", target: "closed" },
              { guard: "isInput", target, actions: ["count", "begin", "tell", "end"] },
            ],
          },
        },
      ]),
    ),
    closed: { type: "final" },
  },
});
const logics = { order: { logic: order, persist: "snapshot", version: 1 } };

if (process.argv[2] === "--serve") await serve(process.argv[3]);
else await main();

async function serve(home) {
  const manager = await ThreadManager.create({ store: fileStore({ home }), logics });
  const [stored] = (await manager.listThreads()).threads;
  const { thread } = stored
    ? await manager.resumeThread(stored.threadId)
    : await manager.startThread({ logic: "order" });
  const before = thread.actor.getSnapshot().value;
  await thread.run("go on");
  const { value, context } = thread.actor.getSnapshot();
  console.log(before, "->", value, context.steps);
  // Until it is killed.
  await new Promise((resolve) => setTimeout(resolve, 60_000));
}

async function main() {
  const home = await mkdtemp(join(tmpdir(), "skein-"));
  for (let life = 0; life < 4; life += 1) {
    const service = spawn(process.execPath, ["--no-warnings", fileURLToPath(import.meta.url), "--serve", home]);
    service.stderr.pipe(process.stderr);
    const ended = once(service, "exit");
    for await (const line of createInterface({ input: service.stdout })) {
      console.log(line);
      service.kill("SIGKILL");
    }
    await ended;
  }
  await rm(home, { recursive: true });
}
