/** Messages between a cluster's threads: the engine has each before its sender is told so, and its receiver is given it, wherever it runs. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import * as z from "zod";
import {
  addressOf,
  call,
  defineThreadLogic,
  hang,
  InvalidRequestError,
  MessageRefusedError,
  memoryStore,
  newThreadId,
  say,
  scriptedClient,
  ThreadClosedError,
  type ThreadManagerOptions,
  ThreadNotFoundError,
  type ThreadStore,
  tool,
} from "../../src/index.ts";
import { hasWaitingMail } from "../../src/manager/mail.ts";
import { latch } from "../rig.ts";
import { endEngine, type Place, testCluster } from "./two-workers.ts";
import { until } from "./until.ts";

const got: unknown[] = [];
let gate = latch();

const clerkMessages = {
  order: z.object({ n: z.number(), count: z.number().default(1) }),
  slow: z.object({ n: z.number() }),
  ask: { message: z.object({ n: z.number() }), reply: z.number() },
};
const clerk = defineThreadLogic({
  messages: clerkMessages,
  receive: {
    order: (message, { from, threadId }) => void got.push({ ...message, from, to: threadId }),
    ask: async ({ n }) => {
      got.push({ asked: n });
      await gate.opened;
      return n * 10;
    },
    slow: async ({ n }, { attempt }) => {
      got.push({ begun: n });
      await gate.opened;
      got.push({ n, attempt });
    },
  },
  turn: ({ text }) => `heard ${text}`,
});

const model = scriptedClient(({ input }) => {
  const texts = JSON.stringify(input);
  if (texts.includes("and more")) return [say("with more")];
  return texts.includes("wait here") ? [hang()] : [say("at once")];
});
/** Calls its tool once a turn, and says what that came to. */
const announcing = scriptedClient(({ input }) => {
  const last = input.at(-1);
  return last?.type === "function_call_output" ? [say(JSON.stringify(last.output))] : [call("announce", {})];
});
const office: ThreadManagerOptions = {
  ...{ logics: { clerk }, model },
  config: { cwd: "/tmp", messages: { news: z.object({ text: z.string() }) } },
};

/** The news that stand in a thread's history, in order. */
async function newsIn(store: ThreadStore, threadId: string): Promise<string[]> {
  let lines = "";
  for await (const page of store.load(threadId as Parameters<ThreadStore["load"]>[0])) {
    for (const line of page) if (line.type === "response_item") lines += JSON.stringify(line);
  }
  return [...lines.matchAll(/news of (\w+)/g)].map(([, name = ""]) => name);
}

suite("messages of a cluster", { timeout: 240_000 }, () => {
  after(endEngine);

  test("one is read by its receiver's schema, in the order of its sender, and says who has sent it", async () => {
    got.length = 0;
    await using cluster = await testCluster(memoryStore(), office);
    const threads = cluster.connect();
    const { thread: one } = await threads.startThread();
    const { thread: two } = await threads.startThread({ logic: "clerk" });
    await Promise.all([1, 2, 3].map((n) => one.send(addressOf(two.id, clerkMessages), { type: "order", n })));
    await threads.send(two.id, { type: "order", n: 4, count: 2, more: true });
    await until(() => got.length === 4);
    const to = two.id;
    assert.deepEqual(got, [
      ...[1, 2, 3].map((n) => ({ type: "order", n, count: 1, from: one.id, to })),
      { type: "order", n: 4, count: 2, from: null, to },
    ]);
  });

  test("the built-in logic is told in its history, once, while it is at rest and while its turn runs", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, office);
    const threads = cluster.connect();
    const { thread: sender } = await threads.startThread();
    const { thread, threadId } = await threads.startThread();
    await sender.send(thread, { type: "news", text: "news of one" });
    await until(async () => (await newsIn(store, threadId)).length === 1);
    const turn = thread.run("wait here");
    await until(async () => (await store.get(threadId)).openTurn !== null);
    await (await cluster.connect().getThread(sender.id)).send(threadId, { type: "news", text: "news of two" });
    await cluster.connect().send(threadId, { type: "news", text: "news of three" });
    await thread.submit({ type: "user_input", items: [{ type: "text", text: "and more" }] });
    assert.equal((await turn).lastAgentMessage, "with more");
    assert.deepEqual(await newsIn(store, threadId), ["one", "two", "three"]);
  });

  test("one whose handling was cut by the end of its worker is given again elsewhere, before those behind it", async () => {
    got.length = 0;
    gate = latch();
    const store = memoryStore();
    await using cluster = await testCluster(store, office, { workers: 1 });
    const threads = cluster.connect();
    const { thread } = await threads.startThread({ logic: "clerk" });
    await threads.send(thread, { type: "slow", n: 1 });
    await threads.send(thread, { type: "order", n: 2 });
    await until(() => got.length === 1);
    const [first] = cluster.places;
    await cluster.add();
    cluster.balancer.targets.shift();
    await first?.worker.close({ deadlineMs: 0 });
    await until(() => got.length === 2);
    assert.deepEqual(got, [{ begun: 1 }, { begun: 1 }]);
    gate.open();
    await until(() => got.some((each) => JSON.stringify(each).includes('"order"')));
    assert.deepEqual(
      got.flatMap((each) => (each as { n?: number }).n ?? []).filter((n, at, all) => all.indexOf(n) === at),
      [1, 2],
    );
    await until(async () => !hasWaitingMail(await store.notes?.read(thread.id, "mail")));
  });

  test("one that its receiver has handled is not given again when the worker ends that did", async () => {
    got.length = 0;
    gate = latch();
    await using cluster = await testCluster(memoryStore(), office, { workers: 1 });
    const threads = cluster.connect();
    const { thread } = await threads.startThread({ logic: "clerk" });
    await threads.send(thread, { type: "slow", n: 1 });
    // All are messages of one invocation, which goes on elsewhere.
    await threads.send(thread, { type: "order", n: 2 });
    await threads.send(thread, { type: "slow", n: 3 });
    await until(() => got.length === 1);
    const before = gate;
    gate = latch();
    before.open();
    await until(() => got.length === 4);
    const [first] = cluster.places;
    await cluster.add();
    cluster.balancer.targets.shift();
    await first?.worker.close({ deadlineMs: 0 });
    await until(() => got.length >= 5);
    gate.open();
    assert.equal((await thread.run("x")).lastAgentMessage, "heard x");
    const order = { type: "order", n: 2, count: 1, from: null, to: thread.id };
    const once = [{ begun: 1 }, { n: 1, attempt: 1 }, order, { begun: 3 }];
    assert.deepEqual(got.slice(0, 5), [...once, { begun: 3 }]);
    assert.deepEqual(
      got
        .slice(5)
        .map((each) => (each as { n: number }).n)
        .filter((n) => n !== 3),
      [],
    );
  });

  test("of many none that was handled is given again when the worker ends that did", async () => {
    got.length = 0;
    gate = latch();
    await using cluster = await testCluster(memoryStore(), office, { workers: 1 });
    const threads = cluster.connect();
    const { thread } = await threads.startThread({ logic: "clerk" });
    const count = 120;
    await threads.send(thread, { type: "slow", n: -1 });
    for (let n = 0; n < count; n += 1) await threads.send(thread, { type: "order", n });
    await threads.send(thread, { type: "slow", n: count });
    const before = gate;
    gate = latch();
    before.open();
    await until(() => got.length === count + 3);
    const [first] = cluster.places;
    await cluster.add();
    cluster.balancer.targets.shift();
    await first?.worker.close({ deadlineMs: 0 });
    await until(() => got.length > count + 3);
    gate.open();
    assert.equal((await thread.run("x")).lastAgentMessage, "heard x");
    const told = got.flatMap((each) =>
      (each as { type?: string }).type === "order" ? [(each as { n: number }).n] : [],
    );
    assert.deepEqual(
      told,
      Array.from({ length: count }, (_, n) => n),
    );
    assert.equal(got.filter((each) => (each as { n?: number }).n === -1).length, 1);
  });

  test("a request whose worker ends is asked again elsewhere, and answered; what is said after it comes after it", async () => {
    got.length = 0;
    gate = latch();
    await using cluster = await testCluster(memoryStore(), office, { workers: 1 });
    const threads = cluster.connect();
    const { thread: asker } = await threads.startThread();
    const { thread } = await threads.startThread({ logic: "clerk" });
    const replies = [asker.request(thread.id, { type: "ask", n: 1 }), asker.request(thread.id, { type: "ask", n: 2 })];
    // In the same line as the requests: the worker has taken both once it has this.
    await asker.send(thread.id, { type: "order", n: 3 });
    await until(() => got.length === 1);
    const [first] = cluster.places;
    await cluster.add();
    cluster.balancer.targets.shift();
    await first?.worker.close({ deadlineMs: 0 });
    await until(() => got.filter((each) => "asked" in (each as object)).length === 2);
    gate.open();
    assert.deepEqual(await Promise.all(replies), [10, 20]);
    await threads.send(thread.id, { type: "order", n: 4 });
    await until(() => got.some((each) => (each as { n?: number }).n === 4));
  });

  test("what its receiver does not take, or nobody is there to take, is refused before it is sent", async () => {
    await using cluster = await testCluster(memoryStore(), office);
    const threads = cluster.connect();
    const { thread } = await threads.startThread();
    const { thread: other } = await threads.startThread({ logic: "clerk" });
    const refused = (reason: string) => (error: unknown) =>
      error instanceof MessageRefusedError && error.reason === reason;
    await assert.rejects(thread.send(other.id, { type: "fax" }), refused("unknown_type"));
    await assert.rejects(threads.send(other.id, { type: "order", n: "many" }), refused("malformed"));
    await assert.rejects(threads.send(thread.id, { type: "order", n: 1 }), refused("unknown_type"));
    await assert.rejects(threads.send(newThreadId(), { type: "news", text: "x" }), ThreadNotFoundError);
    for (const wrong of [undefined, {}, { type: "" }, { type: "news", text: () => "x" }])
      await assert.rejects(threads.send(thread.id, wrong as never), InvalidRequestError);
    await assert.rejects(
      threads.send(thread.id, { type: "news", text: "x" }, { signal: AbortSignal.abort("enough") }),
      (error) => error === "enough",
    );
    await assert.rejects(threads.startThread({ messages: clerkMessages }), InvalidRequestError);
    await other.shutdown();
    await assert.rejects(other.send(thread.id, { type: "news", text: "x" }), ThreadClosedError);
    await assert.rejects(thread.send(other, { type: "order", n: 1 }), ThreadNotFoundError);
  });

  test("what a tool of a worker publishes reaches the tree's listeners wherever they run, each once", async () => {
    got.length = 0;
    const places: Place[] = [];
    const announce = tool({
      ...{ name: "announce", description: "Announces an order.", input: z.object({}) },
      async execute(_, { threadId }) {
        const own = places.find(({ manager }) => manager.loadedThread(threadId) !== undefined);
        const report = await own?.manager.publish(threadId, "orders", { type: "order", n: 7 });
        return JSON.stringify(report?.reached);
      },
    });
    await using cluster = await testCluster(memoryStore(), { ...office, tools: [announce], model: announcing });
    places.push(...cluster.places);
    const threads = cluster.connect();
    const { thread: root } = await threads.startThread();
    const under = { parentThreadId: root.id };
    const { thread: one } = await threads.startThread({ logic: "clerk" }, under);
    const { thread: two } = await threads.startThread({ logic: "clerk" }, under);
    const { thread: stranger } = await threads.startThread({ logic: "clerk" });
    await Promise.all([one, two, stranger].map((thread) => thread.subscribe("orders").stored));
    const { lastAgentMessage } = await root.run("announce it");
    await until(() => got.length >= 2);
    assert.deepEqual(got.map((each) => (each as { to: string }).to).toSorted(), [one.id, two.id].toSorted());
    for (const { id } of [one, two]) assert.ok(lastAgentMessage?.includes(id), lastAgentMessage ?? "");
    await root.run("announce it");
    await until(() => got.length >= 4);
    assert.equal(got.length, 4);
  });

  test("a priority holds for the turn that runs, and for the next ones on any worker", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, office);
    const { thread } = await cluster.connect().startThread();
    await thread.setPriority("background");
    await thread.run("quick");
    await thread.refresh();
    assert.equal(thread.config.priority, "background");
    const turn = thread.run("wait here");
    await until(async () => (await store.get(thread.id)).openTurn !== null);
    await (await cluster.connect().getThread(thread.id)).setPriority(2);
    await thread.interrupt();
    await turn;
    await thread.run("and more");
    assert.equal(thread.config.priority, 2);
    await assert.rejects(thread.setPriority(9 as never), InvalidRequestError);
  });
});
