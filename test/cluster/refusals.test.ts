/** Bad input and trouble, as a client and a worker tell of it; without an engine. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { suite, type TestContext, test } from "node:test";
import * as z from "zod";
import { type Cluster, connect, createWorker, type WorkerOptions } from "../../src/cluster/index.ts";
import { REFUSED_OF_MANAGERS, REFUSED_OF_THREADS } from "../../src/cluster/refused-members.ts";
import { PROTOCOL_VERSION } from "../../src/cluster/wire.ts";
import {
  ClusterMismatchError,
  ClusterUnavailableError,
  InvalidRequestError,
  ManagerClosedError,
  memoryStore,
  newThreadId,
  SkeinError,
  scriptedClient,
  type Thread,
  type ThreadId,
  ThreadManager,
  type ThreadStore,
  tool,
} from "../../src/index.ts";
import { overlaid } from "../rig.ts";

async function managerOf(t: TestContext, store: ThreadStore = memoryStore()): Promise<ThreadManager> {
  const manager = await ThreadManager.create({ store, model: scriptedClient(), config: { cwd: "/tmp" } });
  t.after(() => manager.shutdown());
  return manager;
}

async function oneOfManager(t: TestContext): Promise<Thread> {
  return (await (await managerOf(t)).startThread()).thread;
}

/** What stands where an engine should. */
async function standIn(t: TestContext, answer: (path: string) => { status: number; body: object }): Promise<string> {
  const server: Server = createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      const { status, body } = answer(request.url ?? "");
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const address = server.address();
  return typeof address === "object" && address !== null ? `http://127.0.0.1:${address.port}` : "";
}

/** Where nobody listens. */
async function nowhere(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? `http://127.0.0.1:${address.port}` : "";
}

suite("a worker", () => {
  test("refuses to listen off the loopback without identity keys, and listens on the loopback", async (t) => {
    const worker = createWorker({ manager: await managerOf(t) });
    t.after(() => worker.close());
    for (const host of ["0.0.0.0", "::", "192.0.2.1", "example.org"])
      await assert.rejects(
        worker.listen({ host }),
        (error) => error instanceof InvalidRequestError && /identityKeys/.test(error.message),
      );
    const { url, port, host } = await worker.listen();
    assert.deepEqual([url, host], [`http://127.0.0.1:${port}`, "127.0.0.1"]);
    await assert.rejects(worker.listen(), InvalidRequestError);
  });

  test("whose port is taken may listen on another one", async (t) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    t.after(() => taken.close());
    const { port } = taken.address() as AddressInfo;
    const worker = createWorker({ manager: await managerOf(t) });
    t.after(() => worker.close());
    await assert.rejects(worker.listen({ port }), /EADDRINUSE/);
    assert.notEqual((await worker.listen()).port, port);
  });

  test("names a wrong option, and a store that keeps no notes", async (t) => {
    const manager = await managerOf(t);
    const wrong: [object, RegExp][] = [
      [{}, /manager/],
      [{ manager, identityKeys: ["secret"] }, /publickeyv1_/],
      [{ manager, identityKeys: ["publickeyv1_secret"] }, /identityKeys/],
      [{ manager, leasePatienceMs: -1 }, /leasePatienceMs/],
      [{ manager, colour: "red" }, /colour/],
      [{ manager: await managerOf(t, overlaid(memoryStore(), { notes: undefined })) }, /postgresStore/],
    ];
    for (const [options, message] of wrong)
      assert.throws(
        () => createWorker(options as WorkerOptions),
        (error) => error instanceof InvalidRequestError && message.test(error.message),
      );
  });

  test("takes nothing once it is closed, and closes twice with one report", async (t) => {
    const worker = createWorker({ manager: await managerOf(t) });
    await worker.listen();
    const [one, two] = await Promise.all([worker.close({ deadlineMs: 10 }), worker.close()]);
    assert.deepEqual(
      [one, two],
      [
        { completed: 0, handedOver: 0 },
        { completed: 0, handedOver: 0 },
      ],
    );
    await assert.rejects(worker.listen(), SkeinError);
  });

  test("tells strangers nothing on its live side", async (t) => {
    const worker = createWorker({ manager: await managerOf(t) });
    t.after(() => worker.close());
    const fetchIt = worker.handler();
    const ask = async (path: string, headers: Record<string, string> = {}) =>
      (await fetchIt(new Request(`http://worker${path}`, { headers }))).status;
    assert.equal(await ask("/skein/health"), 200);
    assert.equal(await ask(`/skein/threads/${newThreadId()}/events`), 403);
    assert.equal(await ask(`/skein/threads/${newThreadId()}/events`, { authorization: "Bearer x" }), 403);
    assert.equal(await ask("/skein/threads/../x/events"), 404);
    await worker.close();
    assert.equal(await ask("/skein/health"), 503);
  });
});

/** A thread as workers tell of it. */
const lookOf = (threadId: ThreadId) => ({
  note: {
    ...{ protocol: PROTOCOL_VERSION, config: {}, state: "open", run: null },
    facts: {
      ...{ threadId, epoch: 1, status: "pending_init", config: {}, tokenUsage: null, position: 1 },
      configured: { type: "session_configured", session_id: threadId, rollout_path: null },
    },
  },
  position: 1,
});

/** What comes of using a member, whether it is read, called or waited for. */
async function use(holder: object, name: string): Promise<unknown> {
  const member: unknown = Reflect.get(holder, name);
  return typeof member === "function" ? await member.call(holder, "x", "x") : member;
}

suite("what a cluster does not offer", () => {
  test("every member that threads and managers of one process have beside it is refused by its name, and documented", async (t) => {
    const threadId = newThreadId();
    const ingress = await standIn(t, () => ({ status: 200, body: lookOf(threadId) }));
    await using cluster = connect({ ingress });
    const thread = await cluster.getThread(threadId);
    const docs = await readFile(new URL("../../docs/cluster.md", import.meta.url), "utf8");
    const tables: [object, object, object][] = [
      [thread, REFUSED_OF_THREADS, await oneOfManager(t)],
      [cluster, REFUSED_OF_MANAGERS, await managerOf(t)],
    ];
    for (const [holder, table, original] of tables) {
      for (const name of Object.keys(table)) {
        assert.ok(name in original, `${name} is there in one process`);
        await assert.rejects(
          use(holder, name),
          (error) =>
            error instanceof InvalidRequestError && error.message.startsWith(`${name} is not there over a cluster: `),
          name,
        );
      }
    }
    for (const name of Object.keys(REFUSED_OF_THREADS)) assert.ok(docs.includes(`\`${name}\``), `docs: ${name}`);
    assert.deepEqual(thread.pendingUserQuestions, []);
  });
});

test("who writes a thread is settled by a cluster's workers: a lease that a client asks for is refused before anything is sent", async () => {
  await using cluster = connect({ ingress: await nowhere() });
  const options = { lease: "takeOver" } as const;
  const calls = [
    () => cluster.startThread(undefined, options),
    () => cluster.resumeThread(newThreadId(), undefined, options),
    () => cluster.forkThread({ from: newThreadId() }, options),
  ];
  for (const call of calls) await assert.rejects(call(), { code: "invalid_request", message: /options\.lease/ });
});

suite("connect", () => {
  test("the store of another cluster is told at the first thread", async (t) => {
    const threadId = newThreadId();
    const { note, position } = lookOf(threadId);
    const ingress = await standIn(t, (path) => ({
      status: 200,
      body: path.endsWith("/open") ? note.facts : { note, position },
    }));
    const uses: ((threads: Cluster) => Promise<unknown>)[] = [
      (threads) => threads.getThread(threadId),
      (threads) => threads.resumeThread(threadId),
      (threads) => threads.sendOp(threadId, { type: "interrupt" }),
    ];
    for (const work of uses) {
      await using cluster = connect({ ingress, store: memoryStore() });
      await assert.rejects(
        work(cluster),
        (error) => error instanceof ClusterMismatchError && error.message.includes(threadId) && !error.retryable,
        String(work),
      );
    }
  });

  test("names a wrong option", () => {
    for (const options of [
      {},
      { ingress: "8080" },
      { ingress: "ftp://x" },
      { ingress: "http://x", patienceMs: -1 },
      { ingress: "http://x", stor: 1 },
    ])
      assert.throws(() => connect(options as { ingress: string }), InvalidRequestError);
  });

  test("an engine that is away is told after a while, and what to do", async () => {
    const cluster = connect({ ingress: await nowhere(), patienceMs: 100 });
    await assert.rejects(cluster.startThread(), (error) => {
      assert.ok(error instanceof ClusterUnavailableError && error.retryable);
      return /restate-server/.test(error.message) && /ECONNREFUSED/.test(error.message);
    });
  });

  test("an engine without workers, and workers of another version, are told at once", async (t) => {
    const empty = await standIn(t, () => ({
      status: 404,
      body: { message: "service 'Thread' not found", source: "ingress" },
    }));
    await assert.rejects(
      connect({ ingress: empty }).startThread(),
      (error) => error instanceof ClusterUnavailableError && /register/.test(error.message),
    );
    const older = await standIn(t, () => ({
      status: 404,
      body: { message: "the service 'Thread' exists, but the handler 'start' was not found", source: "ingress" },
    }));
    await assert.rejects(connect({ ingress: older }).startThread(), ClusterMismatchError);
    const json = new ClusterMismatchError("the client speaks version 1").toJSON();
    const other = await standIn(t, () => ({
      status: 500,
      body: { message: "x", source: "invocation", metadata: { skein: JSON.stringify(json) } },
    }));
    await assert.rejects(connect({ ingress: other }).startThread(), ClusterMismatchError);
  });

  test("what is no engine is told at once, with what to give instead", async (t) => {
    let asked = 0;
    const server = createServer((request, response) => {
      asked += 1;
      request.resume().on("end", () => response.end("<html>It works!</html>"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const ingress = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const threadId = newThreadId();
    for (const work of [
      (threads: Cluster) => threads.startThread(),
      (threads: Cluster) => threads.getThread(threadId),
      (threads: Cluster) => threads.listThreads(),
    ])
      await assert.rejects(
        work(connect({ ingress })),
        (error) => error instanceof ClusterMismatchError && /no cluster's engine/.test(error.message),
      );
    assert.equal(asked, 3);
  });

  test("what the engine has given up is not tried again", async (t) => {
    let asked = 0;
    const url = await standIn(t, () => {
      asked += 1;
      return { status: 503, body: { message: "killed", source: "invocation" } };
    });
    await assert.rejects(connect({ ingress: url }).startThread(), ClusterUnavailableError);
    assert.equal(asked, 1);
  });

  test("an engine that is busy for a moment is asked again under the same key", async (t) => {
    let asked = 0;
    const url = await standIn(t, () => {
      asked += 1;
      return asked < 3 ? { status: 503, body: {} } : { status: 500, body: { message: "x", source: "ingress" } };
    });
    await assert.rejects(connect({ ingress: url }).startThread(), SkeinError);
    assert.equal(asked, 3);
  });

  test("a message of 40 MiB is refused before it is sent, and so is what can't be sent", async () => {
    const cluster = connect({ ingress: await nowhere(), patienceMs: 0 });
    const large = "x".repeat(40 * 1024 * 1024);
    await assert.rejects(
      cluster.startThread({ baseInstructions: large }),
      (error) => error instanceof InvalidRequestError && /40\.0 MiB/.test(error.message),
    );
    const add = tool({ name: "add", description: "Adds.", input: z.object({}), execute: () => "3" });
    for (const config of [{ tools: [add] }, { ephemeral: true }])
      await assert.rejects(async () => cluster.startThread(config), InvalidRequestError);
    await assert.rejects(cluster.forkThread({ from: { rolloutPath: "/tmp/x.jsonl" } }), InvalidRequestError);
  });

  test("a signal, a deadline and close end what waits", async () => {
    const away = { ingress: await nowhere() };
    await assert.rejects(
      connect(away).startThread({}, { deadlineMs: 30 }),
      (error) => error instanceof SkeinError && error.code === "deadline_exceeded",
    );
    await assert.rejects(connect(away).startThread({}, { signal: AbortSignal.abort(new Error("no")) }), /no/);
    const cluster = connect(away);
    const waiting = assert.rejects(cluster.startThread(), ManagerClosedError);
    await cluster.close();
    await waiting;
    await assert.rejects(cluster.startThread(), ManagerClosedError);
  });
});

test("an engine that takes calls and says nothing is given up in time, whatever waits for it; one that has a pulse is waited for", async (t) => {
  let isDeaf = true;
  const held: ServerResponse[] = [];
  const engine = createServer((request, response) => {
    request.resume();
    if (isDeaf || request.url !== "/restate/health") held.push(response);
    else response.end();
  });
  engine.listen(0, "127.0.0.1");
  await once(engine, "listening");
  t.after(() => {
    engine.closeAllConnections();
    engine.close();
  });
  const ingress = `http://127.0.0.1:${(engine.address() as AddressInfo).port}`;
  await using cluster = connect({ ingress, patienceMs: 1 });
  const unavailable = (error: unknown) =>
    error instanceof ClusterUnavailableError && /it says nothing/.test(error.message);
  const waiting = [cluster.startThread(), cluster.getThread(newThreadId()), cluster.listThreads()];
  for (const outcome of await Promise.allSettled(waiting))
    assert.ok(outcome.status === "rejected" && unavailable(outcome.reason), String(Object(outcome).reason));
  isDeaf = false;
  held.length = 0;
  const late = cluster.listThreads();
  const pulse = once(engine, "request");
  await pulse;
  await once(engine, "request");
  for (const response of held) response.end('{"threads":[],"next":null}');
  assert.deepEqual((await late).threads, []);
});
