/** `skein app-server --cluster`: Codex clients over a real cluster, whose turns run on workers in processes of their own. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { REFUSED_ELSEWHERE } from "../../src/app-server/refused-elsewhere.ts";
import { engineCache } from "../../src/cli/engines/engine-package.ts";
import { PostgresEngine } from "../../src/cli/engines/postgres-engine.ts";
import { connect } from "../../src/cluster/index.ts";
import { newThreadId } from "../../src/index.ts";
import { parseThreadId } from "../../src/protocol/ids.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { type Json, TestClient } from "../app-server/test-client.ts";
import { skein } from "../cli/skein.ts";
import { LEASH } from "../leash.ts";
import { endEngine, RoundRobin, registerWith, theEngine } from "./two-workers.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const CHILD = fileURLToPath(new URL("./worker-child.ts", import.meta.url));
/** Whose client has gone. */
const END_WITHIN_MS = 20_000;
const text = (words: string) => [{ type: "text", text: words }];

class Servers implements AsyncDisposable {
  readonly #children = new Set<ChildProcess>();
  readonly home = mkdtempSync(join(tmpdir(), "skein-cluster-server-"));

  readonly ingress: string;
  readonly #store: string;

  constructor(ingress: string, store: string) {
    this.ingress = ingress;
    this.#store = store;
    writeFileSync(join(this.home, "config.toml"), 'approval_policy = "on-request"\n');
  }

  /** A server of its own for each client, over standard input and output. */
  async client(): Promise<TestClient> {
    const args = [MAIN, "app-server", "--home", this.home, "--cluster", this.ingress, "--store", this.#store];
    const child = spawn(process.execPath, args, {
      env: { PATH: process.env.PATH, HOME: this.home },
      stdio: ["pipe", "pipe", "inherit"],
      cwd: this.home,
    });
    this.#children.add(child);
    const client = new TestClient({
      send: (line) => child.stdin.write(`${line}\n`),
      close: () => child.stdin.end(),
      onText: undefined,
      onClosed: undefined,
    });
    createInterface({ input: child.stdout }).on("line", (line) => client.take(line));
    await client.initialize();
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ends = [...this.#children].map(async (child) => {
      child.stdin?.end();
      const isOver = child.exitCode !== null || child.signalCode !== null;
      const timer = setTimeout(() => child.kill("SIGKILL"), END_WITHIN_MS);
      if (!isOver) await once(child, "exit");
      clearTimeout(timer);
      assert.equal(child.signalCode, null, "a server whose client has gone ends by itself");
    });
    await Promise.all(ends);
    rmSync(this.home, { recursive: true, force: true });
  }
}

suite("an app-server over a cluster", { timeout: 240_000 }, () => {
  let postgres: PostgresEngine;
  let servers: Servers;
  const balancer = new RoundRobin();
  const workers = new Map<string, ChildProcess>();

  const addWorker = async () => {
    const child = spawn(process.execPath, ["--no-warnings", ...LEASH, CHILD, postgres.url], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, RESTATE_LOGGING: "ERROR" },
    });
    const [line] = await once(child.stdout, "data", { signal: AbortSignal.timeout(60_000) });
    const url = String(line).trim();
    workers.set(url, child);
    balancer.targets.push(url);
  };

  before(async () => {
    postgres = await PostgresEngine.create({ cache: engineCache(process.env) });
    const engine = await theEngine();
    await balancer.listen();
    await Promise.all([addWorker(), addWorker()]);
    await registerWith(engine, balancer.url);
    servers = new Servers(engine.ingress, postgres.url);
  });

  after(async () => {
    await servers[Symbol.asyncDispose]();
    for (const child of workers.values()) child.kill("SIGKILL");
    await balancer[Symbol.asyncDispose]();
    await endEngine();
    await postgres[Symbol.asyncDispose]();
  });

  const startThread = async (client: TestClient): Promise<string> =>
    (await client.request("thread/start", { cwd: servers.home })).thread.id;

  /** Begins a turn, and resolves when it is told that it runs. */
  const begun = async (client: TestClient, threadId: string, words: string): Promise<string> => {
    const { turn } = await client.request("turn/start", { threadId, input: text(words) });
    await client.next("turn/started", (params: Json) => params.turn.id === turn.id);
    return turn.id;
  };

  const ended = async (client: TestClient, turnId: string): Promise<Json> =>
    (await client.find(({ method, params }) => method === "turn/completed" && params.turn.id === turnId)).params?.turn;

  test("threads are started, run turns, are read, listed, named, forked, rolled back and archived", async () => {
    const client = await servers.client();
    const threadId = await startThread(client);
    for (const words of ["one", "two"]) assert.equal((await client.turn(threadId, words)).status, "completed");
    // What is told of a turn is what a manager's clients are told, in the same order.
    const told = client.log.flatMap(({ method = "", params }) => (params?.threadId === threadId ? [method] : []));
    for (const method of ["turn/started", "item/started", "item/completed", "turn/completed"])
      assert.equal(told.filter((each) => each === method).length % 2, 0, method);
    assert.ok(told.indexOf("turn/started") < told.indexOf("item/completed"));
    const { thread } = await client.request("thread/read", { threadId, includeTurns: true });
    assert.deepEqual(
      thread.turns.map((turn: Json) => turn.items.map((item: Json) => item.text ?? item.content[0].text)),
      [
        ["one", "at once"],
        ["two", "at once"],
      ],
    );
    assert.deepEqual(thread.status, { type: "idle" });
    await client.request("thread/name/set", { threadId, name: "the first" });
    const { data } = await client.request("thread/list", {});
    assert.deepEqual(
      data.map(({ id, name }: Json) => [id, name]),
      [[threadId, "the first"]],
    );
    const fork = await client.request("thread/fork", { threadId, beforeTurnId: thread.turns[1].id });
    assert.equal(fork.thread.turns.length, 1);
    assert.equal((await client.turn(fork.thread.id, "three")).status, "completed");
    const back = await client.request("thread/rollback", { threadId, numTurns: 1 });
    assert.equal(back.thread.turns.length, 1);
    await client.request("thread/settings/update", { threadId, model: "another" });
    const { params } = await client.next("thread/settings/updated");
    assert.equal(params.threadSettings.model, "another");
    await client.request("thread/compact/start", { threadId });
    await client.next("turn/completed", (told: Json) => told.threadId === threadId);
    await client.request("thread/archive", { threadId });
    await client.request("thread/unarchive", { threadId });
    const resumed = await client.request("thread/resume", { threadId });
    assert.equal(resumed.thread.status.type, "idle");
    assert.equal((await client.turn(threadId, "again")).status, "completed");
    await client.request("thread/delete", { threadId });
    assert.equal((await client.failure("thread/read", { threadId })).data.code, "rollout_not_found");
    assert.equal((await client.failure("turn/start", { threadId, input: text("x") })).data.code, "thread_not_found");
    client.close();
  });

  test("a turn is steered, interrupted and approved by the client of another server", async () => {
    const [one, two] = await Promise.all([servers.client(), servers.client()]);
    const threadId = await startThread(one);
    const steered = await begun(one, threadId, "wait here");
    const { thread } = await two.request("thread/resume", { threadId });
    assert.deepEqual(thread.status, { type: "active", activeFlags: [] });
    assert.deepEqual(
      thread.turns.map(({ status }: Json) => status),
      ["inProgress"],
    );
    await two.request("turn/steer", { threadId, expectedTurnId: steered, input: text("and more") });
    for (const client of [one, two]) assert.equal((await ended(client, steered)).status, "completed");
    const other = await startThread(one);
    const endless = await begun(one, other, "wait here");
    await two.request("thread/resume", { threadId: other });
    await two.request("turn/interrupt", { threadId: other, turnId: endless });
    const store = postgresStore({ connectionString: postgres.url });
    const { openTurn, interrupted } = await store.get(parseThreadId(other));
    await store.close();
    assert.deepEqual([openTurn, interrupted], [null, true], "it is answered when the turn has ended");
    for (const client of [one, two]) assert.equal((await ended(client, endless)).status, "interrupted");
    const third = await startThread(one);
    const guarded = await begun(one, third, "guard this");
    const asked = await one.next("item/commandExecution/requestApproval");
    // Who comes later is asked as well; the first answer counts.
    await two.request("thread/resume", { threadId: third });
    const again = await two.next("item/commandExecution/requestApproval");
    two.send({ id: again.id ?? 0, result: { decision: "accept" } });
    for (const client of [one, two]) assert.equal((await ended(client, guarded)).status, "completed");
    one.send({ id: asked.id ?? 0, result: { decision: "decline" } });
    assert.equal((await one.turn(third, "quick")).status, "completed");
    for (const client of [one, two]) client.close();
  });

  test("an agent of a turn is told, asks for its approval, and is read and followed as a thread", async () => {
    const client = await servers.client();
    const { thread } = await client.request("thread/start", {
      cwd: servers.home,
      config: { "features.multi_agent": true },
    });
    const turnId = await begun(client, thread.id, "lead on");
    const { params: started } = await client.next("thread/started", (params: Json) => params.thread.id !== thread.id);
    const agentId = started.thread.id;
    const asked = await client.next("item/commandExecution/requestApproval");
    assert.equal(asked.params.threadId, agentId);
    const second = await servers.client();
    const resumed = await second.request("thread/resume", { threadId: agentId });
    assert.deepEqual(resumed.thread.status, { type: "active", activeFlags: ["waitingOnApproval"] });
    const again = await second.next("item/commandExecution/requestApproval");
    second.send({ id: again.id ?? 0, result: { decision: "accept" } });
    const agentTurn = await client.find(
      ({ method, params }) => method === "turn/completed" && params.threadId === agentId,
    );
    assert.equal(agentTurn.params?.turn.status, "completed");
    assert.equal((await ended(client, turnId)).status, "completed");
    const { thread: read } = await client.request("thread/read", { threadId: thread.id, includeTurns: true });
    assert.equal(read.turns[0].items.at(-1).text, "the agent is done");
    for (const each of [client, second]) each.close();
  });

  test("a turn goes on when its worker is killed, and is told as one", async () => {
    const client = await servers.client();
    const threadId = await startThread(client);
    const turnId = await begun(client, threadId, "wait here");
    const dying = [...workers];
    await addWorker();
    for (const [url, child] of dying) {
      balancer.targets.splice(balancer.targets.indexOf(url), 1);
      workers.delete(url);
      child.kill("SIGKILL");
    }
    await client.request("turn/steer", { threadId, expectedTurnId: turnId, input: text("and more") });
    assert.equal((await ended(client, turnId)).status, "completed");
    const ends = client.log.filter(({ method, params }) => method === "turn/completed" && params.threadId === threadId);
    assert.equal(ends.length, 1);
    client.close();
  });

  test("threads outlive the server, whose end interrupts nothing", async () => {
    const first = await servers.client();
    const threadId = await startThread(first);
    const turnId = await begun(first, threadId, "wait here");
    first.close();
    const second = await servers.client();
    const { thread } = await second.request("thread/resume", { threadId });
    assert.equal(thread.turns[0].id, turnId);
    await second.request("turn/steer", { threadId, expectedTurnId: turnId, input: text("and more") });
    assert.equal((await ended(second, turnId)).status, "completed");
    second.close();
  });

  test("what another client of the cluster does to an open thread is told", async () => {
    const client = await servers.client();
    const threadId = await startThread(client);
    await using cluster = connect({ ingress: servers.ingress });
    const thread = await cluster.getThread(threadId);
    await thread.run("quick");
    await client.next("turn/completed", (params: Json) => params.threadId === threadId);
    await thread.shutdown();
    await client.next("thread/status/changed", ({ status }: Json) => status.type === "notLoaded");
    client.close();
  });

  test("what it cannot do is refused by a typed error, and loses nothing", async () => {
    const client = await servers.client();
    const threadId = await startThread(client);
    for (const name of Object.keys(REFUSED_ELSEWHERE)) {
      const { message, data } = await client.failure(name.endsWith("/") ? `${name}tree/read` : name, { threadId });
      assert.match(message, /is not served over a cluster: /, name);
      assert.equal(data.code, "invalid_request");
    }
    const wrong: [string, Json, RegExp][] = [
      ["thread/start", { ephemeral: true }, /lives in one process alone/],
      ["thread/resume", { threadId, path: "/tmp/rollout.jsonl" }, /rollout/],
      ["thread/resume", { threadId: newThreadId() }, /no rollout found/],
      ["turn/start", { threadId: newThreadId(), input: text("x") }, /thread not found/],
      ["turn/steer", { threadId, expectedTurnId: "x", input: text("x") }, /no active turn/],
      ["thread/rollback", { threadId, numTurns: 0 }, /numTurns/],
    ];
    for (const [method, params, words] of wrong) assert.match((await client.failure(method, params)).message, words);
    assert.equal((await client.turn(threadId, "well")).status, "completed");
    client.close();
  });

  test("the command says what it needs before it does anything", async () => {
    for (const [args, words] of [
      [["--cluster", "restate"], /--cluster takes http/],
      [["--cluster", "http://127.0.0.1:1"], /database that its workers share: --store postgres/],
    ] as const) {
      const { code, stderr } = await skein(["app-server", ...args]);
      assert.equal(code, 2);
      assert.match(stderr, words);
    }
  });
});
