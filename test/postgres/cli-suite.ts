/** Every command that opens threads, as a process, on a database. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { storedThread as contractThread, forkAt, gistOf } from "../../src/store/contract/store-script.ts";
import { fileStore } from "../../src/store/file/file-store.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { ended, jsonLines, skein, start } from "../cli/skein.ts";
import { storedThread, tempFolder } from "../cli/temp-home.ts";
import { PostgresServer } from "./server.ts";

let server: PostgresServer;
before(async () => {
  server = await PostgresServer.start();
});
after(() => server[Symbol.asyncDispose]());

const resultOf = (lines: readonly Record<string, unknown>[]): unknown => lines.at(-1)?.result ?? assert.fail();
const addressOf = (schema: string): string => `${server.connectionString}?schema=${schema}`;

test("one thread's way through the commands", async (t) => {
  const home = await tempFolder(t);
  const env = { SKEIN_STORE: addressOf("commands") };
  const run = async (...args: string[]) => {
    const ended = await skein([...args, "--home", home], { env, cwd: home });
    assert.equal(ended.code, 0, `${args.join(" ")}: ${ended.stderr}`);
    return ended.stdout;
  };
  const ran = jsonLines(await run("exec", "--json", "hello there"));
  const id = String(ran.at(-1)?.threadId ?? ran[0]?.threadId);
  assert.match(await run("list"), new RegExp(`^${id}\t.*\thello there\n$`));
  assert.match(await run("list", "--json", "--search", "hello"), new RegExp(id));
  await run("exec", "resume", id.slice(0, 20), "and again");
  await run("resume", "--last", "a third time");
  const shown = await run("show", id);
  for (const text of ["> hello there", "> and again", "> a third time"]) assert.ok(shown.includes(text), shown);
  const made = JSON.parse(await run("fork", id, "--before-user-message", "1", "--json"));
  assert.deepEqual([made.forkedFromId, made.rolloutPath], [id, null]);
  assert.match(await run("list", "--forks-of", id), new RegExp(`^${made.threadId}\t`));
  assert.match(await run("archive", id), /^archived/);
  assert.ok(!new RegExp(`^${id}\t`, "m").test(await run("list")));
  assert.match(await run("unarchive", id), /^unarchived/);
  const exported = (await run("export", id)).trimEnd().split("\n");
  assert.equal(JSON.parse(exported[0] ?? "").payload.id, id);
  await run("export", made.threadId, "--format", "paginated", "--output", join(home, "out.jsonl"));
  const lines = jsonLines(readFileSync(join(home, "out.jsonl"), "utf8"));
  assert.deepEqual(
    lines.map(({ ordinal }) => ordinal),
    lines.map((_, n) => n),
  );
  assert.match(await run("verify"), /^schema commands: no faults in 2 threads, [\d,]+ lines, [\d,]+ bytes\n$/);
  assert.match(await run("delete", "--yes", id), /^deleted/);
  assert.ok((await run("show", made.threadId)).includes("> hello there"));
  // Nothing of it came into the home.
  assert.equal(await run("list", "--store", ""), "");
  const path = await skein(["show", "./rollout.jsonl", "--home", home], { env, cwd: home });
  assert.match(path.stderr, /this store has no files; name the thread \(rollout_not_found\)/);
  const repair = await skein(["repair", "--home", home], { env, cwd: home });
  assert.match(repair.stderr, /mends rollout files.*\(invalid_request\)/);
});

test("copy takes a home into the database and back, and goes on with what broke off", async (t) => {
  const [first, last] = [await tempFolder(t), await tempFolder(t)];
  const { threadId } = await storedThread(first, ["one", "two"]);
  const { threadId: second } = await storedThread(first, ["three"]);
  const forked = (await skein(["fork", threadId, "--home", first])).stdout.trim();
  const to = addressOf("copies");
  const one = await skein(["copy", "--from", first, "--to", to, threadId]);
  assert.equal(one.code, 0, one.stderr);
  const rest = await skein(["copy", "--from", first, "--to", to, "--json"]);
  assert.deepEqual([rest.code, rest.stderr], [0, ""]);
  const told = jsonLines(rest.stdout);
  const status = Object.fromEntries(told.slice(0, -1).map((line) => [line.threadId, line.status]));
  assert.deepEqual(status, { [threadId]: "present", [second]: "copied", [forked]: "copied" });
  assert.equal((await skein(["copy", "--from", to, "--to", last])).code, 0);
  for (const id of [threadId, second, forked]) {
    const file = (await skein(["show", id, "--home", first, "--json"])).stdout;
    const again = (await skein(["show", id, "--home", last, "--json"])).stdout;
    const linesOf = (text: string) => text.split("\n").slice(1);
    assert.deepEqual(linesOf(again), linesOf(file));
  }
});

test("copy is killed again and again, in both directions: it goes on, and what came is whole", async (t) => {
  const [first, last] = [await tempFolder(t), await tempFolder(t)];
  const store = fileStore({ home: first });
  const database = postgresStore({ connectionString: server.connectionString, schema: "killed_copies" });
  const back = fileStore({ home: last });
  t.after(() => Promise.all([store.close(), database.close(), back.close()]));
  const ids: ThreadId[] = [];
  for (let n = 0; n < 6; n += 1) {
    const { id } = await contractThread(
      store,
      Array.from({ length: 150 }, (_, at) => `${n}/${at} ${"x".repeat(500)}`),
    );
    ids.push(id, await forkAt(store, id, "full"), await forkAt(store, id, { beforeUserMessage: 75 }));
  }
  const copied = async (from: string, to: string): Promise<void> => {
    const args = ["copy", "--from", from, "--to", to, "--json"];
    for (let deadline = 1; deadline <= 6; deadline += 1) {
      const child = start(args);
      const told = createInterface({ input: child.stdout });
      let heard = 0;
      told.on("line", () => {
        heard += 1;
        if (heard >= deadline * 2) child.kill("SIGKILL");
      });
      await ended(child);
    }
    const rest = await skein(args);
    assert.deepEqual([rest.code, rest.stderr], [0, ""]);
    const again = jsonLines((await skein(args)).stdout).slice(0, -1);
    assert.ok(again.length === ids.length && again.every(({ status }) => status === "present"), JSON.stringify(again));
  };
  const to = addressOf("killed_copies");
  await copied(first, to);
  await copied(to, last);
  for (const id of ids) {
    const lines = await gistOf(store, id);
    assert.deepEqual(await gistOf(database, id), lines);
    assert.deepEqual(await gistOf(back, id), lines);
    assert.deepEqual(await back.ancestors(id), await store.ancestors(id));
    assert.equal((await database.image(id)).owner, null);
  }
  assert.deepEqual((await database.verify()).faults, []);
});

test("two app-servers share a database: what one began the other goes on with", async (t) => {
  const home = await tempFolder(t);
  const args = ["app-server", "--home", home, "--store", addressOf("servers")];
  const ask = async (requests: readonly object[], until: (line: Record<string, unknown>) => boolean) => {
    const child = start(args);
    const lines: Record<string, unknown>[] = [];
    const reading = createInterface({ input: child.stdout });
    const client = { clientInfo: { name: "test", version: "1" } };
    child.stdin.write(`${JSON.stringify({ id: 0, method: "initialize", params: client })}\n`);
    child.stdin.write(`${JSON.stringify({ method: "initialized" })}\n`);
    for (const request of requests) child.stdin.write(`${JSON.stringify(request)}\n`);
    for await (const line of reading) {
      const message = JSON.parse(line) as Record<string, unknown>;
      lines.push(message);
      if (until(message)) break;
    }
    child.stdin.end();
    if (child.exitCode === null) await new Promise((resolve) => child.once("exit", resolve));
    return lines;
  };
  const started = await ask([{ id: 1, method: "thread/start", params: {} }], ({ id }) => id === 1);
  const { thread } = resultOf(started) as { thread: { id: string; path: string | null } };
  assert.equal(thread.path, null);
  const input = [{ type: "text", text: "hello from the second" }];
  const resumed = await ask(
    [
      { id: 1, method: "thread/resume", params: { threadId: thread.id } },
      { id: 2, method: "turn/start", params: { threadId: thread.id, input } },
    ],
    ({ method }) => method === "turn/completed",
  );
  assert.equal(resumed.at(-1)?.method, "turn/completed");
  const listed = await ask([{ id: 1, method: "thread/list", params: {} }], ({ id }) => id === 1);
  const { data } = resultOf(listed) as { data: { id: string; preview: string }[] };
  assert.deepEqual(
    data.map(({ id, preview }) => [id, preview]),
    [[thread.id, "hello from the second"]],
  );
});
