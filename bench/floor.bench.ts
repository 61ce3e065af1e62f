/**
 * What a start and a turn over the wire cost in CPU time, and whose it is: the server's, the model's server's, the bench's client's. Beside
 * it stands a bare server that moves the same lines and bytes (bare-server.ts). All three share the cores, so what two cores can do in a
 * second is 2,000 ms by the sum.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mockProviderToml } from "../test/mock-provider.ts";
import { benchFolder } from "./folders.ts";
import { bench, type Measured, print } from "./harness.ts";
import { RpcClient } from "./rpc-client.ts";
import { startSseServer } from "./sse-server.ts";

type Args = Readonly<Record<string, string>>;
const ROOT = join(import.meta.dirname, "..");
const AT_ONCE = 16;
const STARTS = 2_000;
const TURNS = 600;

/** Microseconds that all threads of a process have run for, to the nanosecond and up to now. */
const cpuUsOf = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`).reduce(
    (sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1_000,
    0,
  );

const jsonlBytes = (folder: string): number =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".jsonl"))
    .reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);

/** Bytes of a new thread's file, lines and bytes of a turn, and of the request to the model: as Skein has them. */
const SHAPE = ["1000", "10", "3400", "12000"];

async function measured({ server }: Args): Promise<Measured> {
  const home = await benchFolder();
  await mkdir(join(home, "work"));
  const model = await startSseServer(20);
  await writeFile(join(home, "config.toml"), mockProviderToml(model.baseUrl));
  const own = ["--no-warnings", join(ROOT, "dist/src/cli/main.js"), "app-server"];
  const bare = ["--no-warnings", join(import.meta.dirname, "bare-server.ts"), home, String(model.port), ...SHAPE];
  const command = [process.execPath, ...(server === "bare" ? bare : own)];
  const env = { HOME: home, CODEX_HOME: home, SKEIN_HOME: home, TZ: "UTC", SHELL: "/bin/sh" };
  const client = await RpcClient.open({ command, env, cwd: join(home, "work") }, "stdio");
  await client.initialize();
  const ids: string[] = [];
  const start = async () => void ids.push((await client.ask<{ thread: { id: string } }>("thread/start", {})).thread.id);
  const work = async (name: string, total: number, each: (worker: number) => Promise<unknown>): Promise<Measured> => {
    const pids = { server: client.pid, model: model.pid, client: process.pid };
    const before = Object.entries(pids).map(([who, pid]) => [who, cpuUsOf(pid)] as const);
    let left = total;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async (_, worker) => {
        for (; left > 0; left -= 1) await each(worker);
      }),
    );
    return Object.fromEntries(
      before.map(([who, us]) => [`${name}${who}CpuUs`, (cpuUsOf(pids[who as keyof typeof pids]) - us) / total]),
    );
  };
  try {
    await work("", 300, start);
    const starts = await work("start ", STARTS, start);
    const bytesBefore = jsonlBytes(home);
    await work("", 300, (worker) => client.turn(ids[worker] ?? ""));
    const turns = await work("turn ", TURNS, (worker) => client.turn(ids[worker] ?? ""));
    return { ...starts, ...turns, fileBytes: (jsonlBytes(home) - bytesBefore) / (TURNS + 300) };
  } finally {
    await client.close();
    model.stop();
  }
}

await bench(import.meta.url, { measured }, async (run) => {
  for (const server of ["skein", "bare"])
    print({ bench: "floor", server, ...(await run.samples("measured", { server })) });
});
