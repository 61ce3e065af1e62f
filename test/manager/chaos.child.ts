/** Trees of agents, four deep, of which some crash, hang, are interrupted or shut down; until somebody kills the process. */
import { ThreadManager } from "../../src/index.ts";
import { hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";

const [, , home = "", seedText = "1"] = process.argv;
let seed = Number(seedText);
/** Lehmer's generator: the same walk for the same seed. */
const chance = (): number => {
  seed = (seed * 48_271) % 2_147_483_647;
  return seed / 2_147_483_647;
};

const model = scriptedClient(() => {
  const drawn = chance();
  if (drawn < 0.1) return [hang()];
  return [say("done")];
});
const manager = await ThreadManager.create({ home, model, config: { cwd: home, builtInTools: [] } });
const control = manager.agentControl();

async function grow(parent: string, depth: number): Promise<void> {
  if (depth > 4) return;
  for (let n = 0; n < 2; n += 1) {
    const agent = await control.spawnAgent({}, "work", { parentThreadId: parent as never });
    await grow(agent, depth + 1);
    const drawn = chance();
    if (drawn < 0.15) void control.interrupt(agent, { deadlineMs: 1_000 }).catch(() => undefined);
    else if (drawn < 0.25) void control.shutdownTree(agent, { deadlineMs: 500 }).catch(() => undefined);
    else if (drawn < 0.3) void manager.removeThread(agent).catch(() => undefined);
  }
}

for (;;) {
  const { threadId } = await manager.startThread();
  await grow(threadId, 1).catch((error: unknown) => {
    // A branch that is being shut down takes nobody in.
    if ((error as { code?: string }).code === undefined) throw error;
  });
  process.stdout.write(`${threadId}\n`);
  if (chance() < 0.3) await manager.shutdownTree(threadId, { deadlineMs: 500 });
}
