/**
 * A service that is killed twice and carries on. Each job is submitted under its own id, which the thread never forgets: after a
 * restart, jobs that are done are passed over, and one that was cut runs again.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { fileStore, ThreadManager } from "skein";

const JOBS = 9;
if (process.argv[2] === "--serve") await serve(process.argv[3]);
else await main();

async function serve(home) {
  const manager = await ThreadManager.create({ store: fileStore({ home }) });
  const [stored] = (await manager.listThreads()).threads;
  const { thread } = stored ? await manager.resumeThread(stored.threadId) : await manager.startThread();
  for (let n = 1; n <= JOBS; n += 1) {
    const id = `job-${n}`;
    if ((await thread.outcomeOf(id)) === "done") continue;
    const ended = new Promise((resolve) => {
      thread.events$.subscribe((event) => event.id === id && event.msg.type === "task_complete" && resolve());
    });
    const op = { type: "user_input", items: [{ type: "text", text: id }] };
    await thread.submitWithId({ id, op, rerun: true });
    await ended;
    console.log("done", n);
  }
  await manager.shutdown();
}

async function main() {
  const home = await mkdtemp(join(tmpdir(), "skein-"));
  const seen = [];
  for (const killAt of [3, 6, Number.POSITIVE_INFINITY]) {
    const service = spawn(process.execPath, ["--no-warnings", fileURLToPath(import.meta.url), "--serve", home]);
    service.stderr.pipe(process.stderr);
    for await (const line of createInterface({ input: service.stdout })) {
      seen.push(line);
      if (Number(line.split(" ")[1]) >= killAt) service.kill("SIGKILL");
    }
    console.log(killAt === Number.POSITIVE_INFINITY ? "ended" : "killed", "after", seen.at(-1));
  }
  const manager = await ThreadManager.create({ store: fileStore({ home }) });
  const [stored] = (await manager.listThreads()).threads;
  const { thread } = await manager.resumeThread(stored.threadId);
  const outcomes = await Promise.all(Array.from({ length: JOBS }, (_, n) => thread.outcomeOf(`job-${n + 1}`)));
  console.log(outcomes.filter((outcome) => outcome === "done").length, "of", JOBS, "jobs are done");
  await manager.shutdown();
  await rm(home, { recursive: true });
}
