/** The app-server as a child process over stdio and WebSocket, in the same run as the stock binary where that is in the cache. */
import { existsSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileStore } from "../src/store/file/file-store.ts";
import { mockProviderToml } from "../test/mock-provider.ts";
import { benchFolder } from "./folders.ts";
import { bench, type Measured, nowUs, print } from "./harness.ts";
import { RpcClient } from "./rpc-client.ts";
import { startSseServer } from "./sse-server.ts";
import { appendMessages, metaOf } from "./stored-thread.ts";

type Args = Readonly<Record<string, string>>;
type Started = { thread: { id: string } };

const root = join(import.meta.dirname, "..");
const STOCK = ["0.80.0", "0.169.0", "0.171.0"].map((version) => ({
  name: `codex ${version}`,
  program: join(root, `.cache/codex-${version}/node_modules/.bin/codex`),
}));

/** Where a thread that has said nothing has no file yet, as with stock Codex. */
const LATE_FILES = "skein, files with the first line";

const commandOf = (server: string): string[] => {
  const stock = STOCK.find(({ name }) => name === server);
  if (stock !== undefined) return [stock.program, "app-server"];
  const own = [process.execPath, "--no-warnings", join(root, "dist/src/cli/main.js"), "app-server"];
  return server === LATE_FILES ? [...own, "--new-files", "with-first-line"] : own;
};

type Server = { readonly server?: string; readonly transport?: string };

/** Runs with a server of its own home, initialized. */
async function withServer<T>(
  { server = "skein", transport = "stdio" }: Server,
  work: (client: RpcClient, home: string, startUs: number) => Promise<T>,
  prepare?: (home: string, cwd: string) => Promise<void>,
): Promise<T> {
  const home = await benchFolder();
  const cwd = join(home, "work");
  await mkdir(cwd);
  const model = await startSseServer(20);
  try {
    await writeFile(join(home, "config.toml"), mockProviderToml(model.baseUrl));
    await prepare?.(home, cwd);
    const env = { HOME: home, CODEX_HOME: home, SKEIN_HOME: home, TZ: "UTC", SHELL: "/bin/sh" };
    const begun = nowUs();
    const client = await RpcClient.open({ command: commandOf(server), env, cwd }, transport);
    await client.initialize();
    const startUs = nowUs() - begun;
    const result = await work(client, home, startUs);
    await client.close();
    return result;
  } finally {
    model.stop();
  }
}

/** Stores threads of so many messages in a home, and tells their ids. */
async function storeThreads(
  { home, cwd }: { home: string; cwd: string },
  { messages, threads }: { messages: number; threads: number },
): Promise<string[]> {
  const store = fileStore({ home, fsync: "never" });
  const ids: string[] = [];
  for (let left = threads; left > 0; left -= 1) {
    const writer = await store.create({ ...metaOf(), cwd, source: "vscode", model_provider: "mock" });
    await appendMessages(writer, messages);
    await writer.close();
    ids.push(writer.threadId);
  }
  await store.close();
  return ids;
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

/** A request, over and over, about one stored thread. */
async function aboutStored(
  { messages, total, ...server }: Args,
  ask: (client: RpcClient, threadId: string) => Promise<unknown>,
): Promise<Measured> {
  let threadId = "";
  return withServer(
    server,
    async (client) => {
      await ask(client, threadId);
      return paced(1, Number(total), () => ask(client, threadId));
    },
    async (home, cwd) => {
      [threadId = ""] = await storeThreads({ home, cwd }, { messages: Number(messages), threads: 1 });
    },
  );
}

/** Writing the same files one after another by hand: what the disk gives at this hour. */
async function filesByHand({ total }: Args): Promise<Measured> {
  const folder = await benchFolder();
  const text = "x".repeat(600);
  let at = 0;
  return paced(1, Number(total), async () => {
    at += 1;
    writeFileSync(join(folder, `${at}.jsonl`), text, { flag: "wx" });
  });
}

const cases = {
  filesByHand,
  startUp: (args: Args): Promise<Measured> => withServer(args, async (_, __, startUs) => ({ ms: startUs / 1000 })),
  starts: ({ concurrency, total, ...server }: Args): Promise<Measured> =>
    withServer(server, async (client) => {
      await client.ask("thread/start", {});
      return paced(Number(concurrency), Number(total), () => client.ask("thread/start", {}));
    }),
  forks: (args: Args): Promise<Measured> =>
    aboutStored(args, (client, threadId) => client.ask("thread/fork", { threadId, excludeTurns: true })),
  /** 0.80 knows no other ones. */
  wholeForks: (args: Args): Promise<Measured> =>
    aboutStored(args, (client, threadId) => client.ask("thread/fork", { threadId })),
  async resumes({ messages, total, ...server }: Args): Promise<Measured> {
    let ids: string[] = [];
    return withServer(
      server,
      async (client) => {
        const resume = () => client.ask("thread/resume", { threadId: ids.pop(), excludeTurns: true });
        await resume();
        return paced(1, Number(total), resume);
      },
      async (home, cwd) => {
        ids = await storeThreads({ home, cwd }, { messages: Number(messages), threads: Number(total) + 1 });
      },
    );
  },
  lists: ({ threads, total, ...server }: Args): Promise<Measured> =>
    withServer(
      server,
      async (client) => {
        const list = () => client.ask("thread/list", { limit: 25 });
        await list();
        return paced(1, Number(total), list);
      },
      async (home, cwd) => {
        await storeThreads({ home, cwd }, { messages: 2, threads: Number(threads) });
      },
    ),
  turns: ({ concurrency, total, ...server }: Args): Promise<Measured> =>
    withServer(server, async (client) => {
      const threads: string[] = [];
      for (let left = Number(concurrency); left > 0; left -= 1)
        threads.push((await client.ask<Started>("thread/start", {})).thread.id);
      await Promise.all(threads.map((thread) => client.turn(thread)));
      const before = client.writes;
      const measured = await paced(threads.length, Number(total), (worker) => client.turn(threads[worker] ?? ""));
      const { calls, bytes } = client.writes;
      const each = {
        writeCalls: (calls - before.calls) / Number(total),
        bytes: (bytes - before.bytes) / Number(total),
      };
      return { ...measured, ...each };
    }),
  memory: ({ threads, ...server }: Args): Promise<Measured> =>
    withServer(server, async (client) => {
      for (let left = 50; left > 0; left -= 1) await client.ask("thread/start", {});
      const before = client.rss;
      await paced(8, Number(threads), () => client.ask("thread/start", {}));
      return { kib: (client.rss - before) / Number(threads) / 1024 };
    }),
  /** Each loaded thread has had a turn. */
  memoryAfterTurn: ({ threads, ...server }: Args): Promise<Measured> =>
    withServer(server, async (client) => {
      const startAndRun = async () => client.turn((await client.ask<Started>("thread/start", {})).thread.id);
      for (let left = 50; left > 0; left -= 1) await startAndRun();
      const before = client.rss;
      await paced(8, Number(threads), startAndRun);
      return { kib: (client.rss - before) / Number(threads) / 1024 };
    }),
};

await bench(import.meta.url, cases, async (run) => {
  const byHand = await run.samples("filesByHand", { total: 2_000 });
  print({ bench: "app-server", case: "a file by hand", ...byHand });
  for (const concurrency of [1, 8, 64]) {
    const numbers = await run.samples("starts", { server: LATE_FILES, concurrency, total: 2_000 });
    print({ bench: "app-server", server: LATE_FILES, case: "thread/start", concurrency, total: 2_000, ...numbers });
  }
  const stock = STOCK.filter(({ program }) => existsSync(program)).map(({ name }) => name);
  for (const server of ["skein", ...stock]) {
    const isStock = server !== "skein";
    const report = async (name: keyof typeof cases, label: string, args: Record<string, number | string>) => {
      const numbers = await run.samples(name, { server, ...args }, isStock ? 1 : undefined);
      if (Object.keys(numbers).length > 0) print({ bench: "app-server", server, case: label, ...args, ...numbers });
    };
    const knowsExcludeTurns = server !== "codex 0.80.0";
    await report("startUp", "start-up to initialize", {});
    for (const concurrency of [1, 8, 64])
      await report("starts", "thread/start", { concurrency, total: isStock ? 100 : 2_000 });
    for (const messages of knowsExcludeTurns ? [10, 1_000, 10_000] : [])
      await report("forks", "thread/fork, excludeTurns", { messages, total: isStock ? 5 : 200 });
    for (const messages of [10, 1_000, 10_000])
      await report("wholeForks", "thread/fork with all turns", { messages, total: isStock ? 2 : 5 });
    for (const messages of knowsExcludeTurns ? [10, 1_000, 10_000] : [])
      await report("resumes", "thread/resume, excludeTurns", { messages, total: isStock ? 2 : 5 });
    await report("lists", "thread/list of 25", { threads: isStock ? 1_000 : 10_000, total: 20 });
    for (const concurrency of [1, 16, 128])
      await report("turns", "turns of 20 deltas", { concurrency, total: isStock ? 60 : 600 });
    for (const threads of isStock ? [200] : [1_000, 10_000]) {
      await report("memory", "memory of a loaded thread", { threads });
      await report("memoryAfterTurn", "memory of a thread after a turn", { threads });
    }
    if (isStock) continue;
    const ws = { transport: "ws" };
    await report("startUp", "start-up to initialize", ws);
    await report("starts", "thread/start", { ...ws, concurrency: 64, total: 2_000 });
    await report("forks", "thread/fork, excludeTurns", { ...ws, messages: 10_000, total: 200 });
    await report("turns", "turns of 20 deltas", { ...ws, concurrency: 16, total: 600 });
  }
});
