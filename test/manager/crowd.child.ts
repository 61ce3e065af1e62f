/**
 * A home's crowd: trees of agents four deep, of which some crash, hang, are interrupted, shut down or removed. Says when as many as it was
 * told have been started, and goes on until somebody kills the process.
 */
import { fromCallback } from "xstate";
import { type ThreadId, ThreadManager } from "../../src/index.ts";
import { hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";

const [, , home = "", seedText = "1", wantedText = "200"] = process.argv;
const wanted = Number(wantedText);
let seed = Number(seedText);
/** Lehmer's generator: the same walk for the same seed. */
const chance = (): number => {
  seed = (seed * 48_271) % 2_147_483_647;
  return seed / 2_147_483_647;
};

type Message = { type: string; op?: { type: string }; msg?: object };
/** Crashes with its first input. */
const crashes = fromCallback<Message>(({ receive, emit }) =>
  receive(({ type, op, msg }) => {
    if (type === "session.configure") (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
    if (op?.type === "user_input") throw new Error("as told");
  }),
);

const manager = await ThreadManager.create({
  home,
  model: scriptedClient(() => (chance() < 0.05 ? [hang()] : [say("done")])),
  logics: { crashes },
  supervision: { maxRestarts: 1, backoffMs: 1, maxBackoffMs: 2 },
  limits: { residentThreads: 100_000, treeSize: 100_000, childrenPerParent: 1_000 },
  config: { cwd: home, builtInTools: [] },
});
const control = manager.agentControl();
let started = 0;
/** What a walk may meet: a branch that is being ended takes nobody in, and one that crashed takes no input. */
const meets = (error: unknown): undefined => {
  if ((error as { code?: string }).code === undefined) throw error;
};

async function grow(parentThreadId: ThreadId, depth: number): Promise<void> {
  if (depth > 4) return;
  const children = Array.from({ length: 3 }, async () => {
    const config = chance() < 0.1 ? { logic: "crashes" } : {};
    const agent = await control.spawnAgent(config, "work", { parentThreadId });
    started += 1;
    await grow(agent, depth + 1);
    const drawn = chance();
    if (drawn < 0.15) await control.interrupt(agent, { deadlineMs: 1_000 });
    else if (drawn < 0.2) await control.shutdownTree(agent, { deadlineMs: 500 });
    else if (drawn < 0.25) await (await manager.removeThread(agent))?.shutdown({ deadlineMs: 500 });
  });
  await Promise.all(children.map((child) => child.catch(meets)));
}

for (let isTold = false; ; ) {
  const { threadId } = await manager.startThread();
  await grow(threadId, 1);
  if (started >= wanted && !isTold) {
    isTold = true;
    process.stdout.write(`${started}\n`);
  }
}
