/**
 * What does a store in PostgreSQL cost beside files, memory, and the bare driver that inserts the same lines? On a server of its
 * own on the loopback, whose programs come from npm; so it runs only when it is named.
 */
import pg from "pg";
import { newThreadId } from "../src/protocol/ids.ts";
import { assistantMessage } from "../src/protocol/response-item.ts";
import { fileStore } from "../src/store/file/file-store.ts";
import { memoryStore } from "../src/store/memory/memory-store.ts";
import { postgresStore } from "../src/store/postgres/postgres-store.ts";
import type { ThreadStore } from "../src/store/thread-store.ts";
import { PostgresServer } from "../test/postgres/server.ts";
import { benchFolder } from "./folders.ts";
import { bench, type Measured, nowUs, print } from "./harness.ts";
import { appendMessages, metaOf } from "./stored-thread.ts";

type Args = Readonly<Record<string, string>>;

const TURNS = 400;
const FORKS = 50;
const LISTED = 10_000;

async function storeOf({ kind, url }: Args): Promise<ThreadStore> {
  if (kind === "memory") return memoryStore();
  if (kind === "files") return fileStore({ home: await benchFolder() });
  return postgresStore({ connectionString: url ?? "", schema: `b_${newThreadId().replaceAll("-", "")}` });
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** Calls of `work`, so many at a time; how many a second. */
async function rate(count: number, width: number, work: (n: number) => Promise<unknown>): Promise<number> {
  const start = nowUs();
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, lane));
  return (count * 1_000_000) / (nowUs() - start);
}

async function work(args: Args): Promise<Measured> {
  const store = await storeOf(args);
  await store.list();
  const width = Number(args.width);
  const starts = await rate(TURNS, width, async () => (await store.create(metaOf())).close());
  const writers = await Promise.all(Array.from({ length: width }, () => store.create(metaOf())));
  const turns = await rate(TURNS, width, async (n) => {
    const writer = writers[n % width];
    if (writer !== undefined) await appendMessages(writer, 2);
  });
  await store.close();
  return { starts, turns };
}

/** The lines of {@link work}'s turns, given to the driver as one insert a turn, on as many connections. */
async function bare({ url, width }: Args): Promise<Measured> {
  const pool = new pg.Pool({ connectionString: url, max: Math.min(Number(width), 10) });
  const table = `bare_${newThreadId().replaceAll("-", "")}`;
  await pool.query(`CREATE TABLE ${table} (t bigint, ordinal bigint, line text, PRIMARY KEY (t, ordinal))`);
  const line = JSON.stringify({ timestamp: new Date().toISOString(), payload: assistantMessage("x".repeat(300)) });
  const text = `INSERT INTO ${table} SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])`;
  const lines = Array.from({ length: 5 }, () => line);
  const turns = await rate(TURNS, Number(width), (n) =>
    pool.query({ name: "turn", text, values: [lines.map(() => n), lines.map((_, at) => at), lines] }),
  );
  await pool.end();
  return { turns };
}

async function forks(args: Args): Promise<Measured> {
  const store = await storeOf(args);
  const messages = Number(args.messages);
  const writer = await store.create(metaOf());
  await appendMessages(writer, messages);
  await writer.close();
  const forkUs: number[] = [];
  for (let left = FORKS; left > 0; left -= 1) {
    const begun = nowUs();
    const base = await store.forkBase(writer.threadId, { beforeUserMessage: Math.floor(messages / 4) });
    if (base !== undefined) await (await store.fork(metaOf(), base)).close();
    forkUs.push(nowUs() - begun);
  }
  const openUs: number[] = [];
  for (let left = FORKS; left > 0; left -= 1) {
    const begun = nowUs();
    await (await store.open(writer.threadId)).close();
    openUs.push(nowUs() - begun);
  }
  await store.close();
  return { forkUs: median(forkUs), openUs: median(openUs) };
}

async function lists(args: Args): Promise<Measured> {
  const store = await storeOf(args);
  await rate(LISTED, 32, async () => (await store.create(metaOf())).close());
  const listUs: number[] = [];
  for (let left = FORKS; left > 0; left -= 1) {
    const begun = nowUs();
    await store.list();
    listUs.push(nowUs() - begun);
  }
  await store.close();
  return { listUs: median(listUs) };
}

await bench(import.meta.url, { work, bare, forks, lists }, async (run) => {
  await using server = await PostgresServer.start();
  const url = server.connectionString;
  for (const width of [1, 16, 64]) {
    const driver = await run.samples("bare", { url, width });
    print({ bench: "postgres", case: "bare driver", width, turns: driver.turns });
    for (const kind of ["memory", "files", "postgres"]) {
      print({ bench: "postgres", case: kind, width, ...(await run.samples("work", { kind, url, width })) });
    }
  }
  for (const messages of [10, 1_000, 10_000]) {
    for (const kind of ["memory", "files", "postgres"]) {
      print({ bench: "postgres", case: kind, messages, ...(await run.samples("forks", { kind, url, messages }, 1)) });
    }
  }
  for (const kind of ["memory", "files", "postgres"]) {
    print({ bench: "postgres", case: kind, threads: LISTED, ...(await run.samples("lists", { kind, url }, 1)) });
  }
});
