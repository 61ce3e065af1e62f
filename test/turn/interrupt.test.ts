/** Interrupts at every moment (T4). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ModelError, tool } from "../../src/index.ts";
import { call, fail, hang, raw, type Script, say } from "../../src/model/script.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { assertPaired, INTERRUPTED, latch, overlaid, type Rig, rig, textsOf, until, watch } from "../rig.ts";
import { slowFile } from "./slow-files.ts";

const ENDS = new Set(["task_complete", "turn_aborted"]);
const endsOf = (events: ReturnType<typeof watch>) =>
  events.filter(({ msg }) => ENDS.has(msg.type)).map(({ id, msg }) => `${id} ${msg.type}`);

type Moment = {
  readonly script: Script;
  /** Resolves when the turn is where it is to be interrupted. */
  reach(r: Rig): Promise<void>;
};

const never = () => new Promise<never>(() => {});
const deaf = tool({ name: "deaf", description: "", execute: never });
const heeding = tool({
  name: "heeding",
  description: "",
  execute: (_, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
});

const moments: Record<string, Moment> = {
  "right after its submission": { script: [[hang()]], reach: async () => {} },
  "before the first byte": { script: [[hang()]], reach: (r) => until(() => r.model.asked === 1) },
  "in the midst of deltas": {
    script: [
      [
        raw({ type: "item_added", item: { type: "message", role: "assistant", id: "m", content: [] } }),
        raw({ type: "text_delta", delta: "ha", itemId: "m" }),
        hang(),
      ],
    ],
    reach: (r) => until(() => r.model.asked === 1),
  },
  "in a tool that heeds it": { script: [[call("heeding")], [hang()]], reach: (r) => until(() => r.model.asked === 1) },
  "in a tool that ignores it": { script: [[call("deaf")], [hang()]], reach: (r) => until(() => r.model.asked === 1) },
  "while a tool runs and the answer streams": {
    script: [[call("deaf"), hang()]],
    reach: (r) => until(() => r.model.asked === 1),
  },
  "while it waits to retry": {
    script: () => [fail(new ModelError("busy", { retryable: true }))],
    reach: (r) => until(() => (r.clock.nextDueAt ?? 0) < r.clock.now() + 500),
  },
};

suite("SEMANTICS 3.3: interrupt", () => {
  for (const [name, { script, reach }] of Object.entries(moments)) {
    test(`${name}: one turn_aborted, every call has its output, and the thread goes on`, async () => {
      let plays = 0;
      const first = typeof script === "function" ? script : (_: unknown, n: number) => script[n] ?? "";
      let interrupted = false;
      await using r = await rig({
        tools: [deaf, heeding],
        script: (request, n) => {
          plays += 1;
          return interrupted ? [say("again")] : first(request, n);
        },
      });
      const { thread } = await r.manager.startThread();
      const seen = watch(thread);
      const running = thread.run("one");
      await reach(r);
      interrupted = true;
      const done = thread.interrupt();
      await until(() => true);
      await r.clock.advanceAsync(100);
      await done;
      const result = await running;
      assert.deepEqual([result.status, result.lastAgentMessage], ["interrupted", null]);
      assert.deepEqual(endsOf(seen), ["0 turn_aborted"]);
      assert.deepEqual(thread.status, { errored: "Interrupted" });
      assert.equal(r.manager.capacity().runningTurns.used, 0);
      const after = await thread.run("two");
      assert.equal(after.lastAgentMessage, "again");
      const request = r.model.requests.at(-1);
      assert.ok(request);
      assertPaired(request.input);
      assert.deepEqual(textsOf(request), ["one", INTERRUPTED, "two"]);
      assert.ok(plays > 0);
      const items = seen.flatMap(({ msg }) =>
        msg.type === "item_started" || msg.type === "item_completed"
          ? msg.item.type === "DynamicToolCall"
            ? [msg.type]
            : []
          : [],
      );
      assert.equal(
        items.filter((type) => type === "item_started").length,
        items.filter((type) => type === "item_completed").length,
      );
    });
  }

  test("while it waits for a place among the running turns: the place is not taken, and the next one gets it", async () => {
    await using r = await rig({ limits: { runningTurns: 1 }, script: [[hang()], [say("third")]] });
    const [a, b, c] = await Promise.all([1, 2, 3].map(async () => (await r.manager.startThread()).thread));
    assert.ok(a && b && c);
    const first = a.run("a");
    await until(() => r.model.asked === 1);
    const second = b.run("b");
    const third = c.run("c");
    await until(() => r.manager.capacity().runningTurns.waiting === 2);
    await b.interrupt();
    assert.equal((await second).status, "interrupted");
    assert.deepEqual(r.manager.capacity().runningTurns, { used: 1, free: 0, waiting: 1, max: 1 });
    await a.interrupt();
    assert.equal((await first).status, "interrupted");
    assert.equal((await third).lastAgentMessage, "third");
    assert.deepEqual(r.manager.capacity().runningTurns, { used: 0, free: 1, waiting: 0, max: 1 });
  });

  test("a place that is granted in the moment of the interrupt goes back", async () => {
    await using r = await rig({ limits: { runningTurns: 1 }, script: [[hang()], [say("ok")]] });
    const [a, b] = await Promise.all([1, 2].map(async () => (await r.manager.startThread()).thread));
    assert.ok(a && b);
    const first = a.run("a");
    await until(() => r.model.asked === 1);
    const second = b.run("b");
    await until(() => r.manager.capacity().runningTurns.waiting === 1);
    a.events$.subscribe(({ msg }) => {
      if (msg.type === "turn_aborted") void b.interrupt();
    });
    await a.interrupt();
    assert.deepEqual([(await first).status, (await second).status], ["interrupted", "interrupted"]);
    await until(() => r.manager.capacity().runningTurns.used === 0);
    assert.equal((await a.run("again")).status, "completed");
  });

  test("while its history is read: the next turn reads on, and both inputs are in it", async () => {
    const inner = memoryStore();
    await using r = await rig({ store: inner, script: [[say("one")]] });
    const first = await r.manager.startThread();
    await first.thread.run("first");
    await first.thread.shutdown();
    const closed = latch();
    const slow = slowLoads(inner, closed.opened);
    await using s = await rig({ store: slow, script: [[say("three")]] });
    const { thread } = await s.manager.resumeThread(first.threadId, undefined, { initialMessages: "none" });
    const running = thread.run("second");
    await until(() => thread.activeTurn !== undefined);
    const interrupting = thread.interrupt();
    assert.equal((await running).status, "interrupted");
    await interrupting;
    const third = thread.run("third");
    closed.open();
    assert.equal((await third).lastAgentMessage, "three");
    assert.deepEqual(textsOf(s.model.requests[0] ?? { input: [] }), ["first", "one", "second", INTERRUPTED, "third"]);
  });

  test("an idle thread answers an interrupt, and says nothing", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    await thread.interrupt();
    assert.deepEqual(seen, []);
    await assert.rejects(thread.interrupt({ turnId: "x" }), { code: "no_active_turn" });
  });

  test("a file that is slow to read does not hold an interrupt up, and the input is kept", async (t) => {
    await using r = await rig({ script: [[say("ok")]] });
    const { thread } = await r.manager.startThread();
    const { path, release } = slowFile(t);
    const running = thread.run([
      { type: "local_image", path },
      { type: "text", text: "look" },
    ]);
    await until(() => thread.activeTurn !== undefined);
    await thread.interrupt();
    assert.equal((await running).status, "interrupted");
    release();
    await thread.run("and?");
    assert.match(textsOf(r.model.requests[0] ?? { input: [] })[0] ?? "", /could not read the local image.*look/);
  });
});

function slowLoads(inner: ThreadStore, gate: Promise<void>): ThreadStore {
  return overlaid(inner, {
    async *load(...args) {
      await gate;
      yield* inner.load(...args);
    },
  });
}
