/** What do 1,024 hostile connections take from a client that works beside them, and how long does a newcomer wait? */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { WebSocket } from "ws";
import { mockProviderToml } from "../test/mock-provider.ts";
import { benchFolder } from "./folders.ts";
import { bench, type Measured, print } from "./harness.ts";
import { HOSTILE_KINDS, type HostileWork } from "./hostile-clients.ts";
import { RpcClient } from "./rpc-client.ts";
import { startSseServer } from "./sse-server.ts";

const COUNT = 1_024;
const WARM_MS = 1_000;
const MEASURED_MS = 5_000;
/** A newcomer that is not in by then counts as kept out. */
const PATIENCE_MS = 5_000;

const main = join(import.meta.dirname, "..", "dist/src/cli/main.js");

async function turnsBeside(kind: string): Promise<Measured> {
  const home = await benchFolder();
  const cwd = join(home, "work");
  await mkdir(cwd);
  const model = await startSseServer(20);
  await writeFile(join(home, "config.toml"), mockProviderToml(model.baseUrl));
  const command = [process.execPath, "--no-warnings", main, "app-server"];
  const client = await RpcClient.open({ command, env: { HOME: home, SKEIN_HOME: home, SHELL: "/bin/sh" }, cwd }, "ws");
  const hostile = kind === "none" ? undefined : startHostile(kind as HostileWork["kind"], client.url ?? "");
  try {
    await client.initialize();
    const { thread } = await client.ask<{ thread: { id: string } }>("thread/start", {});
    await turnsFor(WARM_MS, client, thread.id);
    const turnsPerSecond = await turnsFor(MEASURED_MS, client, thread.id);
    const newcomerMs = await newcomer(client.url ?? "");
    return { turnsPerSecond, newcomerMs, rssMiB: client.rss / 1024 / 1024 };
  } finally {
    await hostile?.terminate();
    await client.close();
    model.stop();
  }
}

function startHostile(kind: HostileWork["kind"], url: string): Worker {
  const workerData: HostileWork = { kind, port: Number(new URL(url).port), count: COUNT };
  return new Worker(new URL("./hostile-clients.ts", import.meta.url), { workerData });
}

async function turnsFor(ms: number, client: RpcClient, threadId: string): Promise<number> {
  const start = performance.now();
  let turns = 0;
  for (; performance.now() - start < ms; turns += 1) await client.turn(threadId);
  return turns / ((performance.now() - start) / 1000);
}

/** From connecting to an answered initialize, tries that were cut off included. */
async function newcomer(url: string): Promise<number> {
  const start = performance.now();
  while (performance.now() - start < PATIENCE_MS) {
    if (await isLetIn(url)) return performance.now() - start;
  }
  return Number.NaN;
}

function isLetIn(url: string): Promise<boolean> {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  const params = { clientInfo: { name: "newcomer", title: null, version: "1" } };
  return new Promise<boolean>((resolve) => {
    socket.once("open", () => socket.send(JSON.stringify({ id: 1, method: "initialize", params })));
    socket.once("message", () => resolve(true));
    socket.once("close", () => resolve(false));
    socket.on("error", () => resolve(false));
  }).finally(() => socket.terminate());
}

await bench(import.meta.url, { turns: ({ kind = "none" }) => turnsBeside(kind) }, async (run) => {
  for (const kind of ["none", ...HOSTILE_KINDS]) {
    print({
      bench: "hostile",
      kind,
      connections: kind === "none" ? 0 : COUNT,
      ...(await run.samples("turns", { kind }, 1)),
    });
  }
});
