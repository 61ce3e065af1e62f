/** A worker in a process of its own, over PostgreSQL: `worker-child.ts STORE`. It prints its address, and drains on SIGTERM. */
import { createWorker } from "../../src/cluster/index.ts";
import { call, hang, type ModelRequest, type Step, say, scriptedClient, ThreadManager } from "../../src/index.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { guarded } from "./behaviours.ts";

/** What a turn comes to is decided by its own texts alone, so that every worker's model says the same. */
function answer({ input }: ModelRequest): Step[] {
  const texts = JSON.stringify(input);
  if (texts.includes("guard this")) {
    return texts.includes("function_call_output")
      ? [say("done")]
      : [call("guarded", { what: "this" }, { callId: "call-1" })];
  }
  if (texts.includes("and more")) return [say("with more")];
  return texts.includes("wait here") ? [say("so far"), hang()] : [say("at once")];
}

const [connectionString = ""] = process.argv.slice(2);
const store = postgresStore({ connectionString });
const manager = await ThreadManager.create({
  ...{ store, tools: [guarded], model: scriptedClient(answer) },
  config: { cwd: "/tmp" },
  supervision: { maxContinuations: 20 },
  timers: "own",
});
const worker = createWorker({ manager, leasePatienceMs: 2_000 });
const { url } = await worker.listen();
process.once("SIGTERM", async () => {
  await worker.close({ deadlineMs: 500 });
  await manager.shutdown({ deadlineMs: 1_000 });
  await store.close();
  process.exit(0);
});
process.stdout.write(`${url}\n`);
