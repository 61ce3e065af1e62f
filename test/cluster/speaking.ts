/** What threads say to each other and hear of each other, wherever they run: one suite, for a manager and for a cluster. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as z from "zod";
import type { Cluster, ClusterSubscription, ClusterThread } from "../../src/cluster/index.ts";
import {
  addressOf,
  DeadlineExceededError,
  type Down,
  defineThreadLogic,
  hang,
  InvalidRequestError,
  MessageRefusedError,
  type ModelRequest,
  newThreadId,
  RequestFailedError,
  type Step,
  type Subscription,
  say,
  scriptedClient,
  ThreadClosedError,
  type ThreadManagerOptions,
  ThreadNotFoundError,
  type Threads,
} from "../../src/index.ts";
import { until } from "./until.ts";

/** What a thread of either has. */
type Speaker = Omit<ClusterThread, "refresh" | "subscribe" | "askServer"> & {
  subscribe(topic: string): Subscription & Partial<Pick<ClusterSubscription, "stored">>;
};
export type Speaking = Threads<Speaker> & Pick<Cluster, "send" | "request" | "publish">;
export type MadeSpeaking = AsyncDisposable & { readonly threads: Speaking };

const heard: { readonly at: string; readonly text: string; readonly topic: string | null }[] = [];

export const clerkMessages = {
  sum: { message: z.object({ a: z.number(), b: z.number() }), reply: z.number() },
  fail: { message: z.object({}), reply: z.number() },
  odd: { message: z.object({}), reply: z.number() },
  note: z.object({ text: z.string() }),
};
const clerk = defineThreadLogic({
  messages: clerkMessages,
  receive: {
    sum: ({ a, b }) => a + b,
    fail: () => {
      throw new Error("no sum today");
    },
    odd: () => "no number" as never,
    note: ({ text }, { threadId, topic }) => void heard.push({ at: threadId, text, topic }),
  },
  turn: ({ text }) => `heard ${text}`,
});

function answer({ input }: ModelRequest): Step[] {
  const texts = JSON.stringify(input);
  if (texts.includes("a riddle")) return [hang()];
  return [say(texts.includes("nonsense") ? "at once" : JSON.stringify({ count: 7 }))];
}

/** What both are made of. */
export const office: ThreadManagerOptions = {
  ...{ logics: { clerk }, model: scriptedClient(answer) },
  config: {
    cwd: "/tmp",
    messages: { count: { message: z.object({ what: z.string() }), reply: z.object({ count: z.number() }) } },
  },
};

const textsAt = (threadId: string): string[] => heard.flatMap(({ at, text }) => (at === threadId ? [text] : []));

export function speakingBehaviours(name: string, make: () => Promise<MadeSpeaking>): void {
  const behaves = (what: string, body: (threads: Speaking) => Promise<void>) =>
    test(what, async () => {
      await using made = await make();
      await body(made.threads);
    });

  suite(name, { timeout: 240_000 }, () => {
    behaves("a request is answered by its receiver's logic, or fails as its handler does", async (threads) => {
      const { thread } = await threads.startThread();
      const { threadId } = await threads.startThread({ logic: "clerk" });
      const office = addressOf(threadId, clerkMessages);
      assert.deepEqual(
        await Promise.all([1, 2, 3].map((a) => thread.request(office, { type: "sum", a, b: 1 }))),
        [2, 3, 4],
      );
      assert.equal(await threads.request(office, { type: "sum", a: 20, b: 1 }), 21);
      const failed = (reason: string, text: RegExp) => (error: unknown) =>
        error instanceof RequestFailedError && error.reason === reason && text.test(error.message);
      await assert.rejects(thread.request(threadId, { type: "fail" }), failed("threw", /no sum today/));
      await assert.rejects(thread.request(threadId, { type: "odd" }), failed("bad_reply", /does not fit/));
      assert.equal(await thread.request(office, { type: "sum", a: 1, b: 1 }), 2);
    });

    behaves("what can't be asked is refused by its kind, and the receiver goes on", async (threads) => {
      const { thread, threadId } = await threads.startThread();
      const { thread: other } = await threads.startThread({ logic: "clerk" });
      const refused = (reason: string) => (error: unknown) =>
        error instanceof MessageRefusedError && error.reason === reason;
      await assert.rejects(thread.request(other.id, { type: "fax" }), refused("unknown_type"));
      await assert.rejects(thread.request(other.id, { type: "note", text: "x" }), refused("no_reply"));
      await assert.rejects(thread.request(other.id, { type: "sum", a: "1", b: 2 }), refused("malformed"));
      await assert.rejects(other.request(threadId, { type: "count", what: 5 }), refused("malformed"));
      await assert.rejects(thread.request(newThreadId(), { type: "sum", a: 1, b: 2 }), ThreadNotFoundError);
      await assert.rejects(thread.request(threadId, { type: "count", what: "x" }), InvalidRequestError);
      await assert.rejects(thread.request(other.id, {} as never), InvalidRequestError);
      const gone = AbortSignal.abort("enough");
      await assert.rejects(
        thread.request(other.id, { type: "sum", a: 1, b: 2 }, { signal: gone }),
        (error) => error === "enough",
      );
      assert.equal(await threads.request(other.id, { type: "sum", a: 1, b: 2 }), 3);
      await thread.shutdown();
      await assert.rejects(thread.request(other.id, { type: "sum", a: 1, b: 2 }), ThreadClosedError);
    });

    behaves("the built-in logic answers in a turn; giving the wait up interrupts it", async (threads) => {
      const { thread } = await threads.startThread();
      const { thread: other } = await threads.startThread();
      assert.deepEqual(await thread.request(other.id, { type: "count", what: "how many" }), { count: 7 });
      await assert.rejects(
        thread.request(other.id, { type: "count", what: "nonsense" }),
        (error) => error instanceof RequestFailedError && error.reason === "threw",
      );
      const { thread: slow } = await threads.startThread();
      await assert.rejects(
        thread.request(slow.id, { type: "count", what: "a riddle" }, { deadlineMs: 1_500 }),
        DeadlineExceededError,
      );
      await until(() => slow.activeTurn === undefined);
      const { thread: last } = await threads.startThread();
      assert.deepEqual(await threads.request(last.id, { type: "count", what: "how many" }), { count: 7 });
    });

    behaves("who asks and ends hears of that, not of the reply", async (threads) => {
      const { thread } = await threads.startThread();
      const { thread: slow } = await threads.startThread();
      const asking = thread.request(slow.id, { type: "count", what: "a riddle" });
      const told = assert.rejects(asking, ThreadClosedError);
      await thread.shutdown();
      await told;
    });

    behaves("what is published reaches the tree's threads that listen, each once and in order", async (threads) => {
      const { thread: root } = await threads.startThread();
      const under = { parentThreadId: root.id };
      const { thread: one } = await threads.startThread({ logic: "clerk" }, under);
      const { thread: two } = await threads.startThread({ logic: "clerk" }, under);
      const { thread: stranger } = await threads.startThread({ logic: "clerk" });
      const first = one.subscribe("news");
      const again = one.subscribe("news");
      const subscriptions = [first, again, two.subscribe("news"), stranger.subscribe("news"), two.subscribe("other")];
      await Promise.all(subscriptions.map(({ stored }) => stored));
      const { reached, missed } = await root.publish("news", { type: "note", text: "1" });
      assert.deepEqual([[...reached].toSorted(), missed], [[one.id, two.id].toSorted(), []]);
      // What is sent after what was published comes after it, also where nobody waits in between.
      await Promise.all([
        root.publish("news", { type: "note", text: "2" }),
        root.send(one.id, { type: "note", text: "3" }),
        root.publish("news", { type: "note", text: "4" }),
      ]);
      assert.deepEqual((await one.publish("news", { type: "note", text: "5" })).reached, [two.id]);
      assert.deepEqual((await threads.publish(two.id, "other", { type: "note", text: "6" })).reached, [two.id]);
      await until(() => textsAt(one.id).length === 4 && textsAt(two.id).length === 5);
      assert.deepEqual(textsAt(one.id), ["1", "2", "3", "4"]);
      assert.deepEqual(
        heard.filter(({ at }) => at === one.id).map(({ topic }) => topic),
        ["news", "news", null, "news"],
      );
      assert.deepEqual(textsAt(stranger.id), []);
      assert.deepEqual([first.unsubscribe(), first.unsubscribe()], [true, false]);
      assert.equal((await root.publish("news", { type: "note", text: "7" })).reached.length, 2);
      again[Symbol.dispose]();
      await two.shutdown();
      assert.deepEqual(await root.publish("news", { type: "note", text: "8" }), { reached: [], missed: [] });
      assert.throws(() => two.subscribe("news"), ThreadClosedError);
      assert.throws(() => one.subscribe(""), InvalidRequestError);
      await assert.rejects(root.publish("", { type: "note", text: "9" }), InvalidRequestError);
    });

    behaves("a message that a listener does not take is told as missed, and the others have it", async (threads) => {
      const { thread: root } = await threads.startThread();
      const { thread: clerk } = await threads.startThread({ logic: "clerk" }, { parentThreadId: root.id });
      const { thread: plain } = await threads.startThread({}, { parentThreadId: root.id });
      await Promise.all([clerk.subscribe("news").stored, plain.subscribe("news").stored]);
      const { reached, missed } = await root.publish("news", { type: "note", text: "x" });
      assert.deepEqual(reached, [clerk.id]);
      assert.deepEqual(
        missed.map(({ threadId, error }) => [threadId, error instanceof MessageRefusedError]),
        [[plain.id, true]],
      );
    });

    behaves("watches stand until they are told or given up, and are listed", async (threads) => {
      const { thread } = await threads.startThread();
      const { thread: one } = await threads.startThread();
      const { thread: two } = await threads.startThread();
      const told: Down[] = [];
      const watches = [
        thread.monitor(one, { onDown: (down) => told.push(down) }),
        thread.monitor(two),
        thread.monitor(two),
      ];
      await Promise.all(watches.map(({ stored }) => stored));
      const refs = async () => (await thread.monitors()).map(({ ref }) => ref).toSorted();
      assert.deepEqual(await refs(), watches.map(({ ref }) => ref).toSorted());
      watches[2]?.demonitor();
      await one.shutdown();
      assert.equal((await watches[0]?.down)?.reason, "shutdown");
      await until(async () => (await refs()).length === 1);
      assert.deepEqual(await refs(), [watches[1]?.ref]);
      assert.deepEqual(
        told.map(({ ref }) => ref),
        [watches[0]?.ref],
      );
      await thread.shutdown();
      await assert.rejects(watches[1]?.down ?? Promise.resolve(), ThreadClosedError);
      await assert.rejects(thread.monitors(), ThreadClosedError);
    });
  });
}
