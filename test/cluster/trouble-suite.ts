/** What goes wrong between clients and workers of a real cluster: told by typed errors, none tried for ever, and nothing is lost. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { PROTOCOL_VERSION } from "../../src/cluster/wire.ts";
import { fromWire } from "../../src/cluster/wire-error.ts";
import {
  ClusterMismatchError,
  hang,
  InvalidRequestError,
  memoryStore,
  newThreadId,
  SkeinError,
  say,
  scriptedClient,
  ThreadClosedError,
  ThreadNotFoundError,
} from "../../src/index.ts";
import { endEngine, testCluster } from "./two-workers.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });
const model = scriptedClient(({ input: items }) =>
  JSON.stringify(items).includes("and more")
    ? [say("with more")]
    : JSON.stringify(items).includes("wait here")
      ? [hang()]
      : [say("at once")],
);

/** What a handler of the workers answers to a message as it is. */
async function raw(ingress: string, path: string, body: unknown): Promise<SkeinError> {
  const response = await fetch(`${ingress}/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  const { metadata } = (await response.json()) as { metadata?: { skein?: string } };
  assert.equal(response.ok, false, path);
  return fromWire(JSON.parse(metadata?.skein ?? "null"));
}

/** Every handler of the workers. */
const pathsOf = (id: string): string[] => {
  const named = (service: string, names: string) => names.split(" ").map((name) => `${service}/${id}/${name}`);
  return [
    ...named("Thread", "start open turn remove close delete look history budget lineage check"),
    ...named("Thread", "subscribe unsubscribe listeners"),
    ...named("ThreadControl", "deliver"),
    ...named("ThreadTimers", "set fire cancel"),
    ...named("ThreadBonds", "bind bound unbind unbound ended lose"),
    ...named("ThreadBonds", "watch watched down unwatch unwatched watches"),
    ...named("ThreadTree", "admit leave"),
    ...named("ThreadTopics", "listen ignore forget listeners"),
    ...["ThreadRequests/ask", "StoredThreads/list"],
  ];
};

suite("trouble between clients and workers", { timeout: 240_000 }, () => {
  after(endEngine);

  test("a client of another version is refused by every handler, and so is a message that has no version", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const { ingress } = cluster.engine;
    const id = newThreadId();
    const message = { kind: "op", id: "one", op: input("x") };
    for (const given of [{ protocol: PROTOCOL_VERSION + 1, message }, {}, null]) {
      const refuses = async (path: string) => {
        const error = await raw(ingress, path, given);
        assert.ok(error instanceof ClusterMismatchError, `${path}: ${error}`);
        assert.match(error.message, /bring both to one release of skein/);
      };
      await Promise.all(pathsOf(id).map(refuses));
    }
    assert.ok(
      (await raw(ingress, "Thread/nobody/look", { protocol: PROTOCOL_VERSION })) instanceof InvalidRequestError,
    );
  });

  test("what is malformed is refused by every handler that it is for, at once and by its field", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const { ingress } = cluster.engine;
    const { threadId } = await cluster.connect().startThread();
    const fieldless = /\/(remove|close|delete|look|budget|ended|watches|list)$/;
    const refuses = async (path: string) => {
      const error = await raw(ingress, path, { protocol: PROTOCOL_VERSION });
      assert.ok(error instanceof InvalidRequestError && error.message.startsWith("request: "), `${path}: ${error}`);
    };
    await Promise.all(pathsOf(threadId).flatMap((each) => (fieldless.test(each) ? [] : [refuses(each)])));
    const wrong: [object, RegExp][] = [
      [{ kind: "nonsense", id: "one" }, /kind/],
      [{ kind: "op", id: "one", op: { type: "user_input", items: 5 } }, /items/],
      [{ kind: "op", op: input("x") }, /id/],
      [{ kind: "message", id: "one", from: "nobody", message: { type: "x" }, topic: null }, /thread's id/],
      [{ kind: "request", id: "one", from: null, message: {}, reply: "" }, /type|reply/],
    ];
    for (const [message, problem] of wrong) {
      const error = await raw(ingress, `Thread/${threadId}/turn`, { protocol: PROTOCOL_VERSION, message });
      assert.ok(error instanceof InvalidRequestError && problem.test(error.message), `${error}`);
    }
    assert.equal((await (await cluster.connect().getThread(threadId)).run("x")).lastAgentMessage, "at once");
  });

  test("a thread that workers of another version have run is left alone", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model });
    const threads = cluster.connect();
    const { threadId } = await threads.startThread();
    const note = (await store.notes?.read(threadId, "cluster")) as object;
    await store.notes?.write(threadId, "cluster", { ...note, protocol: PROTOCOL_VERSION + 1 });
    for (const client of [threads, cluster.connect({ store })]) {
      await assert.rejects(client.getThread(threadId), ClusterMismatchError);
      await assert.rejects(client.resumeThread(threadId), ClusterMismatchError);
      await assert.rejects(client.sendOp(threadId, input("x")), ClusterMismatchError);
    }
    await store.notes?.write(threadId, "cluster", note);
    assert.equal((await (await threads.getThread(threadId)).run("x")).lastAgentMessage, "at once");
  });

  test("what may hold secrets of the workers' settings passes through no answer and stands in no note", async () => {
    const store = memoryStore();
    const config = {
      cwd: "/tmp",
      mcpServers: { files: { command: "mcp-files", env: { TOKEN: "s3cret-one" } } },
      shellEnvironmentPolicy: { set: { KEY: "s3cret-two" } },
    };
    await using cluster = await testCluster(store, { model, config });
    const { thread, threadId } = await cluster.connect().startThread();
    await thread.submit({ type: "override_turn_context", model: "another" });
    const { note } = (await (
      await fetch(`${cluster.engine.ingress}/Thread/${threadId}/look`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ protocol: PROTOCOL_VERSION }),
      })
    ).json()) as { note: unknown };
    const stored = await store.notes?.read(threadId, "cluster");
    for (const each of [note, stored]) {
      assert.match(JSON.stringify(each), /another/);
      assert.doesNotMatch(JSON.stringify(each), /s3cret/);
    }
    assert.deepEqual([thread.config.mcpServers, thread.config.model], [{}, "another"]);
  });

  test("the store of another cluster is told, whether its threads are new or were there", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const { threadId } = await cluster.connect().startThread();
    const wrong = cluster.connect({ store: memoryStore() });
    await assert.rejects(wrong.startThread(), ClusterMismatchError);
    await assert.rejects(wrong.getThread(threadId), ClusterMismatchError);
  });

  test("what was closed stays closed, twice, and ends what waits for it", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const threads = cluster.connect();
    const { thread, threadId } = await threads.startThread();
    const turn = thread.run("wait here");
    const next = (async () => {
      for await (const _ of thread.events());
      return "over";
    })();
    const other = await cluster.connect().getThread(threadId);
    assert.deepEqual(await Promise.all([thread.shutdown(), thread.shutdown()]), ["completed", "completed"]);
    assert.equal((await turn).status, "interrupted");
    assert.equal(await next, "over");
    await assert.rejects(other.run("more"), ThreadClosedError);
    await assert.rejects(cluster.connect().getThread(threadId), ThreadNotFoundError);
    await threads.deleteThread(threadId);
    await assert.rejects(threads.deleteThread(threadId), SkeinError);
  });

  test("a message of 40 MiB for a running turn is refused, and the turn goes on", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const threads = cluster.connect();
    const { thread } = await threads.startThread();
    const turn = thread.run("wait here");
    await thread.submit(input("and yet"));
    await assert.rejects(
      thread.submit(input("x".repeat(40 * 1024 * 1024))),
      (error) => error instanceof InvalidRequestError && /too large/.test(error.message),
    );
    await thread.submit(input("and more"));
    assert.equal((await turn).lastAgentMessage, "with more");
  });

  test("while one worker drains and then all are gone, calls wait, and go on with the next one", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const threads = cluster.connect();
    const { thread } = await threads.startThread();
    const turn = thread.run("wait here");
    // It joins the turn, and is told again to each worker that goes on.
    await thread.submit(input("hold on"));
    const [first, second] = cluster.places;
    await first?.worker.close({ deadlineMs: 50 });
    await second?.worker.close({ deadlineMs: 50 });
    const more = thread.submit(input("and more"));
    cluster.balancer.targets.length = 0;
    await cluster.add();
    await more;
    assert.equal((await turn).lastAgentMessage, "with more");
  });
});
