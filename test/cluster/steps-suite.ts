/** Durable steps over a cluster: their functions run in the client, once, whatever becomes of clients and workers meanwhile. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import {
  DeadlineExceededError,
  hang,
  InvalidRequestError,
  memoryStore,
  StepFailedError,
  say,
  scriptedClient,
  ThreadClosedError,
  type ThreadId,
  type ThreadStore,
} from "../../src/index.ts";
import { latch } from "../rig.ts";
import { endEngine, type TestCluster, testCluster } from "./two-workers.ts";
import { until } from "./until.ts";

const model = scriptedClient(({ input }) => {
  const texts = JSON.stringify(input);
  return texts.includes("and more") ? [say("with more")] : [hang()];
});
const isCut = (error: unknown) => error instanceof StepFailedError && error.reason === "cut";

/** As if nothing had been heard of whoever is at a step for longer than it is kept for them. */
async function forgetHolders({ notes }: ThreadStore, threadId: ThreadId): Promise<void> {
  const note = (await until(() => notes?.read(threadId, "steps"))) as { claims: Record<string, object> };
  const claims = Object.entries(note.claims).map(([step, claim]) => [step, { ...claim, at: 0 }]);
  await notes?.write(threadId, "steps", { ...note, claims: Object.fromEntries(claims) });
}

async function replaceWorker(cluster: TestCluster): Promise<void> {
  const [first] = cluster.places.splice(0, 1);
  await cluster.add();
  cluster.balancer.targets.shift();
  await first?.worker.close({ deadlineMs: 0 });
  await first?.manager.shutdown({ deadlineMs: 1_000 });
}

suite("steps of a cluster's threads", { timeout: 240_000 }, () => {
  after(endEngine);

  test("one runs once in the thread's life: over calls, connections, workers and forks", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const threads = cluster.connect();
    const { thread, threadId } = await threads.startThread();
    let runs = 0;
    const count = () => ({ runs: ++runs });
    assert.deepEqual(await Promise.all([thread.step("a", count), thread.step("a", count)]), [{ runs: 1 }, { runs: 1 }]);
    assert.equal(await thread.step("nothing", () => undefined), undefined);
    const again = await cluster.connect().getThread(threadId);
    assert.deepEqual(await again.step("a", count), { runs: 1 });
    assert.equal(await again.step("nothing", () => assert.fail("it is done")), undefined);
    const { thread: fork } = await threads.forkThread({ from: threadId });
    assert.deepEqual(await fork.step("a", count), { runs: 1 });
    const key = await fork.step("key", ({ idempotencyKey, attempt, cuts }) => [idempotencyKey, attempt, cuts]);
    assert.deepEqual(key, [`${fork.id}/key`, 1, 0]);
    await thread.shutdown();
    await assert.rejects(thread.step("b", count), ThreadClosedError);
  });

  test("two connections that ask at once share one run, and the other waits for its result", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const { thread, threadId } = await cluster.connect().startThread();
    const other = await cluster.connect().getThread(threadId);
    const gate = latch();
    let runs = 0;
    const first = thread.step("a", async () => {
      runs += 1;
      await gate.opened;
      return "the first's";
    });
    await until(() => runs === 1);
    await assert.rejects(
      other.step("a", () => "no", { deadlineMs: 500 }),
      DeadlineExceededError,
    );
    const second = other.step("a", () => "the second's");
    gate.open();
    assert.deepEqual(await Promise.all([first, second]), ["the first's", "the first's"]);
  });

  test("the policy and the refusals are those of one process; what failed or was given up counts no cut", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const { thread } = await cluster.connect().startThread();
    const attempts: number[] = [];
    const fails = ({ attempt }: { attempt: number }) => {
      attempts.push(attempt);
      throw new Error("it did not work");
    };
    const options = { attempts: 2, backoff: { baseMs: 1 } };
    await assert.rejects(
      thread.step("a", fails, options),
      (error) => error instanceof StepFailedError && error.attempts === 2,
    );
    assert.deepEqual(attempts, [1, 2]);
    await assert.rejects(
      thread.step("b", () => 1n as never),
      InvalidRequestError,
    );
    await assert.rejects(
      thread.step("", () => 1),
      InvalidRequestError,
    );
    const enough = new AbortController();
    const given = thread.step("c", () => new Promise(() => enough.abort("enough")), { signal: enough.signal });
    await assert.rejects(given, (error) => error === "enough");
    for (const id of ["a", "b", "c"]) assert.equal(await thread.step(id, ({ cuts }) => cuts, { onCut: "fail" }), 0, id);
  });

  test("a worker that ends meanwhile costs nothing, at rest and beside a turn that goes on", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model }, { workers: 1 });
    const { thread, threadId } = await cluster.connect().startThread();
    let runs = 0;
    const replaced = async () => {
      await replaceWorker(cluster);
      return ++runs;
    };
    assert.equal(await thread.step("a", replaced), 1);
    const turn = thread.run("wait here");
    await until(async () => (await store.get(threadId)).openTurn !== null);
    assert.equal(await thread.step("b", replaced), 2);
    await thread.submit({ type: "user_input", items: [{ type: "text", text: "and more" }] });
    assert.equal((await turn).lastAgentMessage, "with more");
    const again = await cluster.connect().getThread(threadId);
    assert.deepEqual([await again.step("a", replaced), await again.step("b", replaced)], [1, 2]);
  });

  test("one whose client is not heard of is another's, who is told of the cut; the first one's result is refused", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model });
    const { thread, threadId } = await cluster.connect().startThread();
    const other = await cluster.connect().getThread(threadId);
    const [begun, gate] = [latch(), latch()];
    const slow = thread.step("a", async () => {
      begun.open();
      await gate.opened;
      return "late";
    });
    const refused = assert.rejects(slow, isCut);
    await begun.opened;
    await forgetHolders(store, threadId);
    await assert.rejects(
      other.step("a", () => "no", { onCut: "fail" }),
      isCut,
    );
    assert.deepEqual(await other.step("a", ({ cuts }) => ({ cuts })), { cuts: 1 });
    gate.open();
    await refused;
    assert.deepEqual(await thread.step("a", () => "no"), { cuts: 1 });
    assert.equal(await store.notes?.read(threadId, "steps"), undefined);
  });
});
