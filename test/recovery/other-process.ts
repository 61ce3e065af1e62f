/** Another process on a home: takes a thread over, runs a turn, says so, and keeps the thread until its input ends. */
import { fileStore, scriptedClient, ThreadManager } from "../../src/index.ts";

const [home = "", threadId = ""] = process.argv.slice(2);
const store = fileStore({ home, fsync: "never" });
const manager = await ThreadManager.create({ store, model: scriptedClient(), config: { cwd: home } });
const { thread } = await manager.resumeThread(threadId, {}, { lease: "takeOver" });
const { status } = await thread.run("from B");
process.stdout.write(`${thread.epoch} ${status}\n`);
for await (const _ of process.stdin);
await manager.shutdown();
await store.close();
