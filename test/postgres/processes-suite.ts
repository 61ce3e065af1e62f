/** Processes on one server that take threads from each other, die, and are stopped and woken; a disk that fills up; a replica. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, type TestContext, test } from "node:test";
import { StoreIoError } from "../../src/protocol/errors.ts";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import { addTurn, answer, gistOf, header, linesOf, storedThread } from "../../src/store/contract/store-script.ts";
import { type PostgresStoreOptions, postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { LEASH } from "../leash.ts";
import { PostgresServer } from "./server.ts";

/** `npm run soak` has hundreds. */
const KILLS = Number(process.env.SKEIN_POSTGRES_KILLS ?? 6);
const PROCESSES = 3;
const THREADS = 4;
const NOBODY = 65_534;

let server: PostgresServer;
let schemas = 0;
before(async () => {
  server = await PostgresServer.start();
});
after(() => server[Symbol.asyncDispose]());

const freshSchema = (): string => `processes_${++schemas}`;
const open = (schema: string, more: Partial<PostgresStoreOptions> = {}) =>
  postgresStore({ connectionString: server.connectionString, schema, ...more });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

type Acknowledged = { id: ThreadId; text: string } | { fork: ThreadId; of: ThreadId; end: number };

/** Children of a storm, each started anew when it is killed, and all that they were told is stored. */
class Storm {
  readonly acknowledged: Acknowledged[] = [];
  readonly #args: readonly string[];
  readonly #children: ChildProcess[] = [];
  readonly #heard: Promise<unknown>[] = [];
  #started = 0;

  constructor(schema: string, threads: readonly ThreadId[]) {
    this.#args = [server.connectionString, schema];
    for (let n = 0; n < PROCESSES; n += 1) this.#start(n, threads);
  }

  #start(place: number, threads: readonly ThreadId[]): void {
    this.#started += 1;
    const args = [
      ...LEASH,
      join(import.meta.dirname, "storm-child.ts"),
      ...this.#args,
      `p${this.#started}`,
      ...threads,
    ];
    const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#children[place] = child;
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    // A line that death cut short was acknowledged by nobody.
    lines.on("line", (line) => line.endsWith("}") && this.acknowledged.push(JSON.parse(line) as Acknowledged));
    this.#heard.push(once(lines, "close"));
  }

  kill(threads: readonly ThreadId[]): void {
    const place = Math.floor(Math.random() * PROCESSES);
    this.#children[place]?.kill("SIGKILL");
    this.#start(place, threads);
  }

  /** Until there are so many more acknowledgements. */
  async rages(more: number): Promise<void> {
    const until = this.acknowledged.length + more;
    while (this.acknowledged.length < until) await pause(20);
  }

  async end(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(this.#heard);
  }
}

/** What one epoch stored stands together and in order; later epochs come later; nothing stands there twice. */
function assertNoTwoInterleave(texts: readonly string[]): void {
  assert.equal(new Set(texts).size, texts.length, "a line is stored twice");
  let [epochBefore, lineBefore] = [0, -1];
  for (const text of texts) {
    const [epoch = 0, , line = 0] = text.split("/").map((part) => Number(part.replace("p", "")));
    assert.ok(epoch > epochBefore || (epoch === epochBefore && line === lineBefore + 1), texts.join(" "));
    [epochBefore, lineBefore] = [epoch, line];
  }
}

test(`${PROCESSES} processes take ${THREADS} threads from each other, are killed ${KILLS} times and cut off: nothing acknowledged is lost or doubled, no two writers interleave`, async () => {
  const schema = freshSchema();
  const store = open(schema);
  const ids = await Promise.all(Array.from({ length: THREADS }, async () => (await storedThread(store, [])).id));
  const storm = new Storm(schema, ids);
  try {
    for (let kill = 0; kill < KILLS; kill += 1) {
      await storm.rages(20);
      if (kill % 2 === 0) storm.kill(ids);
      else
        await server.admin((admin) =>
          admin.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'skein' AND random() < 0.5",
          ),
        );
    }
    await storm.rages(20);
  } finally {
    await storm.end();
  }
  const texts = new Map<ThreadId, string[]>();
  for (const id of ids) {
    const lines = await linesOf(store, id);
    assert.deepEqual(
      lines.map(({ ordinal }) => ordinal),
      lines.map((_, n) => n),
    );
    texts.set(id, (await gistOf(store, id)).slice(1));
    assertNoTwoInterleave(texts.get(id) ?? []);
  }
  for (const told of storm.acknowledged) {
    if ("text" in told) assert.ok(texts.get(told.id)?.includes(told.text), `${told.text} was acknowledged`);
    else {
      const forked = await gistOf(store, told.fork);
      assert.deepEqual(forked.slice(1, -1), texts.get(told.of)?.slice(0, told.end - 1));
    }
  }
  assert.deepEqual((await store.verify()).faults, []);
  // And everybody's thread is free, or is taken from the dead at once.
  for (const id of ids) await (await store.open(id, { lease: "wait", deadlineMs: 20_000 })).close();
  await store.close();
});

test("a process that stood still while its thread was taken writes nothing more, and says that it lost it", async () => {
  const schema = freshSchema();
  const store = open(schema);
  const { id } = await storedThread(store, []);
  const args = [...LEASH, join(import.meta.dirname, "paused-child.ts"), server.connectionString, schema, id];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines: string[] = [];
  const reading = createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  while (lines.length < 5) await once(reading, "line");
  child.kill("SIGSTOP");
  await pause(100);
  // It stands still and is not dead: it keeps its thread until somebody takes it over.
  await assert.rejects(store.open(id), /is in use|busy|held/i);
  const writer = await store.open(id, { lease: "takeOver" });
  addTurn(writer, "meanwhile");
  await writer.flush();
  const kept = await gistOf(store, id);
  child.kill("SIGCONT");
  await once(child, "exit");
  assert.equal(lines.at(-1), "lost thread_busy");
  addTurn(writer, "afterwards");
  await writer.close();
  const texts = await gistOf(store, id);
  assert.deepEqual(texts.slice(0, kept.length), kept);
  assert.equal(texts.length, kept.length + 4);
  const acknowledged = lines.filter((line) => /^\d+$/.test(line));
  for (const n of acknowledged) assert.ok(texts.includes(`paused ${n}`));
  await store.close();
});

/** A tablespace on a file system of its own, of a few megabytes. */
async function smallTablespace(
  t: TestContext,
): Promise<{ name: string; folder: string; remove: () => Promise<void> } | undefined> {
  if (process.getuid?.() !== 0) return t.skip("a small file system can be mounted by root alone") as undefined;
  const folder = mkdtempSync(join(tmpdir(), "skein-small-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], { stdio: "pipe", timeout: 10_000 });
  } catch (error) {
    rmSync(folder, { recursive: true });
    return t.skip(`no file system can be mounted here: ${String(error)}`) as undefined;
  }
  chownSync(folder, NOBODY, NOBODY);
  const name = `small_${schemas}`;
  await server.admin((admin) => admin.query(`CREATE TABLESPACE ${name} LOCATION '${folder}'`));
  const remove = async () => {
    await server.admin(async (admin) => {
      await admin.query(`DROP SCHEMA IF EXISTS processes_${schemas} CASCADE`);
      await admin.query(`DROP TABLESPACE IF EXISTS ${name}`).catch(() => undefined);
    });
    execFileSync("umount", ["-l", folder], { stdio: "pipe", timeout: 10_000 });
    rmSync(folder, { recursive: true, force: true });
  };
  return { name, folder, remove };
}

test("a disk that is full: a typed error says so, nothing acknowledged is lost, and what waits is stored once there is room", async (t) => {
  const schema = freshSchema();
  const space = await smallTablespace(t);
  if (space === undefined) return;
  const store = open(schema, {
    connectionString: `${server.connectionString}?options=-c%20default_tablespace%3D${space.name}`,
  });
  const reader = open(schema);
  t.after(() => Promise.allSettled([store.close(), reader.close()]).then(space.remove));
  await store.list();
  const filler = join(space.folder, "filler");
  writeFileSync(filler, Buffer.alloc(3 * 1024 * 1024));
  const writer = await store.create(header());
  let acknowledged = 0;
  let failure: unknown;
  for (let n = 0; failure === undefined && n < 400; n += 1) {
    // Text that compression does not help with.
    writer.append(answer(`${n} ${Array.from({ length: 2_000 }, () => Math.random().toString(36)).join("")}`));
    await writer.flush().then(
      () => {
        acknowledged = n + 1;
      },
      (error: unknown) => {
        failure = error;
      },
    );
  }
  assert.ok(failure instanceof StoreIoError, String(failure));
  assert.match(failure.message, /disk is full; make room \(53100\)/);
  assert.ok(writer.dirty);
  assert.equal((await linesOf(reader, writer.threadId)).length, acknowledged + 1);
  rmSync(filler);
  const until = Date.now() + 30_000;
  for (let isStored = false; !isStored; ) {
    isStored = await writer.flush().then(
      () => true,
      () => false,
    );
    assert.ok(isStored || Date.now() < until, "what waits is stored once there is room");
  }
  const texts = (await gistOf(store, writer.threadId)).slice(1);
  assert.deepEqual(
    texts.map((text) => Number(text.split(" ")[0])),
    Array.from({ length: acknowledged + 1 }, (_, n) => n),
  );
  await writer.close();
});

test("a replica lists, loads, exports and is copied from, and says why it does not write", async (t) => {
  const schema = freshSchema();
  const store = open(schema);
  const { id } = await storedThread(store, ["one"]);
  await store.close();
  await using standby = await server.standby();
  const replica = postgresStore({ connectionString: standby.connectionString, schema });
  t.after(() => replica.close());
  assert.deepEqual(
    (await replica.list()).threads.map(({ threadId }) => threadId),
    [id],
  );
  assert.equal((await gistOf(replica, id)).length, 5);
  assert.deepEqual((await replica.verify()).faults, []);
  assert.equal((await replica.image(id)).size, 5);
  for (const write of [
    () => replica.create({ ...header(), id: newThreadId() }),
    () => replica.open(id),
    () => replica.rename(id, "x"),
    () => replica.delete(id),
  ]) {
    await assert.rejects(write, (error) => {
      assert.ok(error instanceof StoreIoError, String(error));
      assert.match(error.message, /read-only, such as a replica; give the address of the primary \(25006\)/);
      return true;
    });
  }
});
