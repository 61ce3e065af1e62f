/** The app-server as a child process over stdio, in the same run as the stock binary where that is in the cache. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileStore } from "../src/store/file-store.ts";
import { bench, type Measured, nowUs, print } from "./harness.ts";
import { RpcClient } from "./rpc-client.ts";
import { startSseServer } from "./sse-server.ts";
import { appendMessages, metaOf } from "./stored-thread.ts";

type Args = Readonly<Record<string, string>>;
type Started = { thread: { id: string } };

const root = join(import.meta.dirname, "..");
const STOCK = ["0.80.0", "0.169.0"].map((version) => ({
  name: `codex ${version}`,
  program: join(root, `.cache/codex-${version}/node_modules/.bin/codex`),
}));

const commandOf = (server: string): string[] => {
  const stock = STOCK.find(({ name }) => name === server);
  if (stock !== undefined) return [stock.program, "app-server"];
  return [process.execPath, "--no-warnings", join(root, "dist/src/cli/main.js"), "app-server"];
};

const config = (baseUrl: string): string => `model = "gpt-5.1-codex"
model_provider = "mock"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
[model_providers.mock]
name = "mock"
base_url = "${baseUrl}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
requires_openai_auth = false
supports_websockets = false
[analytics]
enabled = false
`;

/** Runs with a server of its own home, initialized. */
async function withServer<T>(
  server: string,
  work: (client: RpcClient, home: string, startUs: number) => Promise<T>,
  prepare?: (home: string, cwd: string) => Promise<void>,
): Promise<T> {
  const home = await mkdtemp(join(tmpdir(), "skein-bench-"));
  const cwd = join(home, "work");
  await mkdir(cwd);
  const model = await startSseServer(20);
  try {
    await writeFile(join(home, "config.toml"), config(model.baseUrl));
    await prepare?.(home, cwd);
    const begun = nowUs();
    const client = new RpcClient(
      commandOf(server),
      { HOME: home, CODEX_HOME: home, SKEIN_HOME: home, TZ: "UTC", SHELL: "/bin/sh" },
      cwd,
    );
    await client.initialize();
    const startUs = nowUs() - begun;
    const result = await work(client, home, startUs);
    await client.close();
    return result;
  } finally {
    model.stop();
    await rm(home, { recursive: true, force: true });
  }
}

/** Does `total` pieces of work, so many at a time; microseconds each, and how many a second. */
async function paced(
  concurrency: number,
  total: number,
  work: (worker: number) => Promise<unknown>,
): Promise<Measured> {
  let left = total;
  const each: number[] = [];
  const begun = nowUs();
  await Promise.all(
    Array.from({ length: concurrency }, async (_, worker) => {
      while (left > 0) {
        left -= 1;
        const start = nowUs();
        await work(worker);
        each.push(nowUs() - start);
      }
    }),
  );
  const us = nowUs() - begun;
  return {
    perSecond: (each.length / us) * 1e6,
    p50us: each.toSorted((a, b) => a - b)[Math.floor(each.length / 2)] ?? 0,
  };
}

const cases = {
  startUp: ({ server = "" }: Args): Promise<Measured> =>
    withServer(server, async (_, __, startUs) => ({ ms: startUs / 1000 })),
  starts: ({ server = "", concurrency, total }: Args): Promise<Measured> =>
    withServer(server, async (client) => {
      await client.ask("thread/start", {});
      return paced(Number(concurrency), Number(total), () => client.ask("thread/start", {}));
    }),
  async forks({ server = "", messages, total }: Args): Promise<Measured> {
    let threadId = "";
    const prepare = async (home: string, cwd: string): Promise<void> => {
      const store = fileStore({ home });
      const writer = await store.create({ ...metaOf(), cwd, source: "vscode", model_provider: "mock" });
      await appendMessages(writer, Number(messages));
      threadId = writer.threadId;
      await store.close();
    };
    return withServer(
      server,
      async (client) => {
        const params = { threadId, excludeTurns: true };
        await client.ask("thread/fork", params);
        return paced(1, Number(total), () => client.ask("thread/fork", params));
      },
      prepare,
    );
  },
  turns: ({ server = "", concurrency, total }: Args): Promise<Measured> =>
    withServer(server, async (client) => {
      const threads: string[] = [];
      for (let left = Number(concurrency); left > 0; left -= 1)
        threads.push((await client.ask<Started>("thread/start", {})).thread.id);
      await Promise.all(threads.map((thread) => client.turn(thread)));
      return paced(threads.length, Number(total), (worker) => client.turn(threads[worker] ?? ""));
    }),
  memory: ({ server = "", threads }: Args): Promise<Measured> =>
    withServer(server, async (client) => {
      for (let left = 50; left > 0; left -= 1) await client.ask("thread/start", {});
      const before = client.rss;
      await paced(8, Number(threads), () => client.ask("thread/start", {}));
      return { kib: (client.rss - before) / Number(threads) / 1024 };
    }),
};

await bench(import.meta.url, cases, async (run) => {
  const stock = STOCK.filter(({ program }) => existsSync(program)).map(({ name }) => name);
  for (const server of ["skein", ...stock]) {
    const isStock = server !== "skein";
    const report = async (name: keyof typeof cases, label: string, args: Record<string, number>) => {
      try {
        print({
          bench: "app-server",
          server,
          case: label,
          ...args,
          ...(await run.samples(name, { server, ...args }, isStock ? 1 : undefined)),
        });
      } catch (error) {
        print({
          bench: "app-server",
          server,
          case: label,
          ...args,
          failed: error instanceof Error ? error.message.slice(0, 80) : String(error),
        });
      }
    };
    await report("startUp", "start-up to initialize", {});
    for (const concurrency of [1, 8, 64])
      await report("starts", "thread/start", { concurrency, total: isStock ? 100 : 2_000 });
    for (const messages of [10, 1_000, 10_000]) {
      if (server === "codex 0.80.0") continue;
      await report("forks", "thread/fork, excludeTurns", { messages, total: isStock ? 10 : 200 });
    }
    for (const concurrency of [1, 16, 128])
      await report("turns", "turns of 20 deltas", { concurrency, total: isStock ? 60 : 600 });
    for (const threads of isStock ? [500] : [1_000, 10_000])
      await report("memory", "memory of a loaded thread", { threads });
  }
});
