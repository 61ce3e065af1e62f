/** In a home: one thread watches a second, is linked with a third, and waits to be killed once that is stored. */
import { ThreadManager } from "../../src/index.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";

const [home = ""] = process.argv.slice(2);
const manager = await ThreadManager.create({ home, model: scriptedClient() });
const start = async () => (await manager.startThread()).thread;
const [watcher, watched, bound] = [await start(), await start(), await start()];
for (const thread of [watcher, watched, bound]) await thread.run("hello");
const watches = [watcher.monitor(watched), watched.link(bound)];
await Promise.all(watches.map(({ stored }) => stored));
process.stdout.write(JSON.stringify([watcher.id, watched.id, bound.id]), () => process.kill(process.pid, "SIGKILL"));
setInterval(() => undefined, 1_000);
