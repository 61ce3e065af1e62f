/**
 * What does a store in PostgreSQL cost beside files, memory, and the bare driver that inserts the same rows? On a server of its
 * own on the loopback, whose programs come from npm; so it runs only when it is named. `BENCH_TURNS` (400), `BENCH_MESSAGES`
 * (10,000: of the longest thread), `BENCH_LINES` (20,000) and `BENCH_LISTED` (100,000) say how large it is.
 *
 * - `bare driver` does the same inserts: the same rows, into the same tables with the same indexes, with a commit for each thing that is
 *   acknowledged: a start with its end is two, a turn one. Where many come at once ours are fewer commits than its: the driver's pool
 *   gives each piece of work its own, as a program does that inserts by itself.
 * - `lines alone` is the driver that inserts as many lines of the same size into a table of one index, a start with its end as one
 *   insert of one line: neither leases, lists, searches nor anchors could be had of it.
 * - `costs` are of one piece of work after the other: bytes of the server's log, and CPU time there and here.
 */
import pg from "pg";
import { newThreadId } from "../src/protocol/ids.ts";
import { assistantMessage } from "../src/protocol/response-item.ts";
import { fileStore } from "../src/store/file/file-store.ts";
import { memoryStore } from "../src/store/memory/memory-store.ts";
import { postgresStore } from "../src/store/postgres/postgres-store.ts";
import type { ThreadStore, ThreadWriter } from "../src/store/thread-store.ts";
import { PostgresServer } from "../test/postgres/server.ts";
import { BareDriver } from "./bare-driver.ts";
import { benchFolder } from "./folders.ts";
import { bench, type Measured, nowUs, print } from "./harness.ts";
import { serverCosts } from "./server-costs.ts";
import { appendMessages, metaOf } from "./stored-thread.ts";

type Args = Readonly<Record<string, string>>;

const KINDS = ["memory", "files", "postgres"] as const;
const sizeOf = (name: string, usual: number): number => Number(process.env[name] ?? usual);
const TURNS = sizeOf("BENCH_TURNS", 400);
const MESSAGES = sizeOf("BENCH_MESSAGES", 10_000);
const LINES = sizeOf("BENCH_LINES", 20_000);
const LISTED = sizeOf("BENCH_LISTED", 100_000);
const ROUNDS = Math.min(50, TURNS);
/** Each batch waits for the server, so small ones are not given as often as large ones. */
const MOST_BATCHES = 1_000;

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

/** What one call takes, in the middle of many. */
async function medianUs(work: () => Promise<unknown>): Promise<number> {
  const taken: number[] = [];
  for (let left = ROUNDS; left > 0; left -= 1) {
    const begun = nowUs();
    await work();
    taken.push(nowUs() - begun);
  }
  return median(taken);
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

const LINE = JSON.stringify({ timestamp: new Date().toISOString(), payload: assistantMessage("x".repeat(300)) });

/** A table of lines, and what inserts some of them as one statement. */
class BareTable implements AsyncDisposable {
  readonly #pool: pg.Pool;
  readonly #text: string;

  private constructor(pool: pg.Pool, table: string) {
    this.#pool = pool;
    this.#text = `INSERT INTO ${table} SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])`;
  }

  static async make({ url, width = "1" }: Args): Promise<BareTable> {
    const pool = new pg.Pool({ connectionString: url, max: Math.min(Number(width), 10) });
    const table = `bare_${newThreadId().replaceAll("-", "")}`;
    await pool.query(`CREATE TABLE ${table} (t bigint, ordinal bigint, line text, PRIMARY KEY (t, ordinal))`);
    return new BareTable(pool, table);
  }

  insert(t: number, lines: readonly string[]): Promise<unknown> {
    const values = [lines.map(() => t), lines.map((_, at) => at), lines];
    return this.#pool.query({ name: "insert", text: this.#text, values });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end();
  }
}

/** The rows of {@link work}'s starts, ends and turns, on as many connections. */
async function bare({ url = "", width = "1" }: Args): Promise<Measured> {
  await using driver = await BareDriver.make(url, Number(width));
  const starts = await rate(TURNS, Number(width), async () => driver.end(await driver.start()));
  const threads = await Promise.all(Array.from({ length: Number(width) }, () => driver.start()));
  const turns = await rate(TURNS, Number(width), (n) =>
    driver.turn(threads[n % threads.length], 1 + 5 * Math.floor(n / threads.length)),
  );
  return { starts, turns };
}

/** One after the other: what a start, a turn and an end cost. */
async function costs({ url = "", kind = "" }: Args): Promise<Measured> {
  const store = kind === "postgres" ? await storeOf({ url, kind }) : undefined;
  await store?.list();
  const driver = kind === "postgres" ? undefined : await BareDriver.make(url, 1);
  const told: Measured = {};
  const measure = async (what: string, work: (n: number) => Promise<unknown>): Promise<void> => {
    const { walBytes, serverCpuMs, ownCpuMs } = await serverCosts(url, TURNS, work);
    Object.assign(told, {
      [`${what}WalBytes`]: walBytes,
      [`${what}ServerCpuMs`]: serverCpuMs,
      [`${what}OwnCpuMs`]: ownCpuMs,
    });
  };
  const writers: ThreadWriter[] = [];
  const threads: unknown[] = [];
  await measure("start", async () =>
    store === undefined ? threads.push(await driver?.start()) : writers.push(await store.create(metaOf())),
  );
  await measure("turn", async (n) => {
    const writer = writers[n];
    await (writer === undefined ? driver?.turn(threads[n], 1) : appendMessages(writer, 2));
  });
  await measure("end", async (n) => writers[n]?.close() ?? driver?.end(threads[n]));
  await store?.close();
  await driver?.[Symbol.asyncDispose]();
  return told;
}

/** The lines of {@link work}'s starts and turns, given to the driver as one insert each, on as many connections. */
async function linesAlone(args: Args): Promise<Measured> {
  await using table = await BareTable.make(args);
  const width = Number(args.width);
  const starts = await rate(TURNS, width, (n) => table.insert(n, [LINE]));
  const turns = await rate(TURNS, width, (n) => table.insert(TURNS + n, [LINE, LINE, LINE, LINE, LINE]));
  return { starts, turns };
}

async function forks(args: Args): Promise<Measured> {
  const store = await storeOf(args);
  const messages = Number(args.messages);
  const writer = await store.create(metaOf());
  await appendMessages(writer, messages);
  await writer.close();
  const { threadId } = writer;
  const forkUs = await medianUs(async () => {
    const base = await store.forkBase(threadId, { beforeUserMessage: Math.floor(messages / 4) });
    if (base !== undefined) await (await store.fork(metaOf(), base)).close();
  });
  const openUs = await medianUs(async () => (await store.open(threadId)).close());
  const begun = nowUs();
  let lines = 0;
  for await (const page of store.load(threadId)) lines += page.length;
  const loadUs = nowUs() - begun;
  await store.close();
  return { forkUs, openUs, loadUs, lines };
}

async function batches(args: Args): Promise<Measured> {
  const store = await storeOf(args);
  const writer = await store.create(metaOf());
  const batch = Number(args.batch);
  const count = Math.max(1, Math.min(MOST_BATCHES, Math.floor(LINES / batch)));
  const payload = assistantMessage("x".repeat(300));
  const perSecond = await rate(count, 1, async () => {
    for (let n = 0; n < batch; n += 1) writer.append({ type: "response_item", payload });
    await writer.flush();
  });
  await store.close();
  return { linesPerSecond: perSecond * batch };
}

async function bareBatches(args: Args): Promise<Measured> {
  await using table = await BareTable.make(args);
  const batch = Number(args.batch);
  const count = Math.max(1, Math.min(MOST_BATCHES, Math.floor(LINES / batch)));
  const lines = Array.from({ length: batch }, () => LINE);
  return { linesPerSecond: (await rate(count, 1, (n) => table.insert(n, lines))) * batch };
}

async function lists(args: Args): Promise<Measured> {
  const store = await storeOf(args);
  await rate(LISTED, 32, async () => (await store.create(metaOf())).close());
  const { nextCursor: cursor } = await store.list();
  const listUs = await medianUs(() => store.list());
  const nextPageUs = cursor === null ? Number.NaN : await medianUs(() => store.list({ cursor }));
  await store.close();
  return { listUs, nextPageUs };
}

await bench(import.meta.url, { work, bare, linesAlone, costs, forks, batches, bareBatches, lists }, async (run) => {
  await using server = await PostgresServer.start();
  const url = server.connectionString;
  const tell = (kind: string, facts: object): void => print({ bench: "postgres", case: kind, ...facts });
  for (const width of [1, 16, 64]) {
    tell("lines alone", { width, ...(await run.samples("linesAlone", { url, width })) });
    tell("bare driver", { width, ...(await run.samples("bare", { url, width })) });
    for (const kind of KINDS) tell(kind, { width, ...(await run.samples("work", { kind, url, width })) });
  }
  for (const kind of ["bare driver", "postgres"])
    tell(kind, { costs: 1, ...(await run.samples("costs", { kind, url })) });
  for (const batch of [1, 16, 256, 2_000]) {
    tell("lines alone", { batch, ...(await run.samples("bareBatches", { url, batch })) });
    for (const kind of KINDS) tell(kind, { batch, ...(await run.samples("batches", { kind, url, batch })) });
  }
  for (const messages of [10, 1_000, 10_000].filter((size) => size <= MESSAGES)) {
    for (const kind of KINDS) tell(kind, { messages, ...(await run.samples("forks", { kind, url, messages }, 1)) });
  }
  for (const kind of KINDS) tell(kind, { threads: LISTED, ...(await run.samples("lists", { kind, url }, 1)) });
});
