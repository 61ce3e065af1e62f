/** Input that is sent while a turn runs joins it and is never lost (T5), whatever becomes of the turn. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { tool } from "../../src/index.ts";
import { call, hang, raw, say, usage, wait } from "../../src/model/script.ts";
import { userMessage } from "../../src/protocol/response-item.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { settled } from "../kernel/settled.ts";
import { INTERRUPTED, latch, linesOf, overlaid, rig, textsOf, typesOf, until, watch } from "../rig.ts";
import { slowFile } from "./slow-files.ts";

const ENDS = new Set(["task_complete", "turn_aborted"]);
const endsOf = (events: ReturnType<typeof watch>) =>
  events.filter(({ msg }) => ENDS.has(msg.type)).map(({ id, msg }) => `${id} ${msg.type}`);

const deaf = tool({ name: "deaf", description: "", execute: () => new Promise<never>(() => {}) });

suite("steering", () => {
  test("input for a running turn joins it: the model is asked again, with all of it, in order", async () => {
    await using r = await rig({ script: [[hang()], [say("both")]] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const first = thread.run("a");
    await until(() => r.model.asked === 1);
    const results = await Promise.all([first, thread.run("b"), thread.run("c")]);
    assert.deepEqual(
      results.map(({ status, lastAgentMessage }) => [status, lastAgentMessage]),
      [
        ["completed", "both"],
        ["completed", "both"],
        ["completed", "both"],
      ],
    );
    assert.equal(new Set(results.map(({ turnId }) => turnId)).size, 1);
    assert.equal(r.model.asked, 2);
    assert.deepEqual(textsOf(r.model.requests[1] ?? { input: [] }), ["a", "b", "c"]);
    assert.deepEqual(endsOf(seen), ["0 task_complete"]);
    assert.equal(typesOf(seen).filter((type) => type === "user_message").length, 3);
  });

  test("it cuts the answer that streams: finished items stay, an unfinished one is dropped", async () => {
    const unfinished = raw({ type: "item_added", item: { type: "message", role: "assistant", id: "m", content: [] } });
    const delta = raw({ type: "text_delta", delta: "half a", itemId: "m" });
    await using r = await rig({ script: [[say("whole"), unfinished, delta, hang()], [say("both")]] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const first = thread.run("a");
    await until(() => seen.some(({ msg }) => msg.type === "agent_message_delta" && msg.delta === "half a"));
    await thread.run("b");
    assert.equal((await first).lastAgentMessage, "both");
    assert.deepEqual(textsOf(r.model.requests[1] ?? { input: [] }), ["a", "whole", "b"]);
    const completed = seen.flatMap(({ msg }) => (msg.type === "item_completed" ? [msg.item.type] : []));
    assert.deepEqual(completed, ["UserMessage", "AgentMessage", "UserMessage", "AgentMessage"]);
    const stored = (await linesOf(r.store, thread.id)).flatMap((line) =>
      line.type === "response_item" ? textsOf({ input: [line.payload] }) : [],
    );
    assert.deepEqual(stored, ["a", "whole", "b", "both"]);
  });

  test("calls of the answer that was cut go on, and the input follows their outputs", async () => {
    const gate = latch();
    const slow = tool({ name: "slow", description: "", execute: () => gate.opened.then(() => "done") });
    await using r = await rig({ tools: [slow], script: [[call("slow"), hang()], [say("both")]] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const first = thread.run("a");
    await until(() => typesOf(seen).includes("item_started") && r.model.asked === 1);
    const second = thread.run("b");
    await settled();
    assert.equal(r.model.asked, 1);
    gate.open();
    assert.deepEqual([(await first).lastAgentMessage, (await second).lastAgentMessage], ["both", "both"]);
    const { input } = r.model.requests[1] ?? { input: [] };
    assert.deepEqual(
      input.slice(1).map((item) => (item.type === "function_call_output" ? item.output : item.type)),
      ["message", "function_call", "done", "message"],
    );
  });

  test("a compaction within the turn is not cut: what follows it holds the input", async () => {
    const gate = latch();
    const big = usage({ total_tokens: 100 });
    const script = [[say("one"), big], [wait(gate.opened), say("summary")], [say("both")]];
    await using r = await rig({ config: { modelAutoCompactTokenLimit: 100 }, script });
    const { thread } = await r.manager.startThread();
    await thread.run("a");
    const second = thread.run("b");
    await until(() => r.model.asked === 2);
    const third = thread.run("c");
    await settled();
    gate.open();
    assert.deepEqual([(await second).lastAgentMessage, (await third).lastAgentMessage], ["both", "both"]);
    assert.equal(r.model.asked, 3);
    assert.deepEqual(textsOf(r.model.requests[2] ?? { input: [] }).slice(-2), ["b", "c"]);
  });

  test("injected items do not cut the answer; the model is asked again when it has ended", async () => {
    const gate = latch();
    await using r = await rig({ script: [[wait(gate.opened), say("one")], [say("two")]] });
    const { thread } = await r.manager.startThread();
    const running = thread.run("a");
    await until(() => r.model.asked === 1);
    await thread.submit({ type: "inject_items", items: [userMessage("injected")] });
    await settled();
    gate.open();
    assert.equal((await running).lastAgentMessage, "two");
    assert.deepEqual(textsOf(r.model.requests[1] ?? { input: [] }), ["a", "one", "injected"]);
  });

  test("input that comes while other input is still being read is in the same request", async (t) => {
    await using r = await rig({ script: [[hang()], [say("all")]] });
    const { thread } = await r.manager.startThread();
    const first = thread.run("a");
    await until(() => r.model.asked === 1);
    const { path, release } = slowFile(t);
    const second = thread.run([
      { type: "local_image", path },
      { type: "text", text: "b" },
    ]);
    await settled();
    const third = thread.run("c");
    release();
    const results = await Promise.all([first, second, third]);
    assert.deepEqual(new Set(results.map(({ lastAgentMessage }) => lastAgentMessage)), new Set(["all"]));
    assert.equal(r.model.asked, 2);
    const texts = textsOf(r.model.requests[1] ?? { input: [] });
    assert.deepEqual([texts.length, texts[0], texts[2]], [3, "a", "c"]);
  });

  test("input that joined a turn is in the history also when the turn is interrupted", async () => {
    await using r = await rig({ script: [[hang()], [say("ok")]] });
    const { thread } = await r.manager.startThread();
    const first = thread.run("a");
    await until(() => r.model.asked === 1);
    const second = thread.run("b");
    await thread.interrupt();
    assert.deepEqual([(await first).status, (await second).status], ["interrupted", "interrupted"]);
    await thread.run("c");
    assert.deepEqual(textsOf(r.model.requests[1] ?? { input: [] }), ["a", "b", INTERRUPTED, "c"]);
  });

  test("input that its client has named is the client's again when the turn is interrupted before it took it", async () => {
    await using r = await rig({ tools: [deaf], script: [[call("deaf")], [say("ok")]] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const first = thread.run("a");
    await until(() => typesOf(seen).includes("token_count") && r.model.asked === 1);
    await thread.submit({ type: "user_input", items: [{ type: "text", text: "named" }], client_id: "mine" });
    await thread.submit({ type: "user_input", items: [{ type: "text", text: "unnamed" }] });
    const interrupting = thread.interrupt();
    await settled();
    await r.clock.advanceAsync(100);
    await interrupting;
    assert.equal((await first).status, "interrupted");
    await thread.run("b");
    assert.deepEqual(textsOf(r.model.requests[1] ?? { input: [] }), ["a", "unnamed", INTERRUPTED, "b"]);
    const told = seen.flatMap(({ msg }) => (msg.type === "user_message" ? [msg.message] : []));
    assert.deepEqual(told, ["a", "unnamed", "b"]);
  });

  test("input that comes while an interrupted turn settles is the next turn's own", async () => {
    await using r = await rig({ tools: [deaf], script: [[call("deaf")], [say("ok")]] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const first = thread.run("a");
    await until(() => r.model.asked === 1);
    const interrupting = thread.interrupt();
    const second = thread.run("b");
    await until(() => true);
    await r.clock.advanceAsync(100);
    await interrupting;
    assert.equal((await first).status, "interrupted");
    const result = await second;
    assert.deepEqual([result.status, result.lastAgentMessage], ["completed", "ok"]);
    assert.deepEqual(endsOf(seen), ["0 turn_aborted", "2 task_complete"]);
    assert.deepEqual(
      seen.flatMap(({ id, msg }) => (msg.type === "user_message" ? [`${id} ${msg.message}`] : [])),
      ["0 a", "2 b"],
    );
  });

  test("in every step of a turn's end, input either joins it or starts the next, and is answered once", async () => {
    for (const type of ["agent_message", "token_count", "item_completed", "task_complete", "task_started"]) {
      await using r = await rig();
      const { thread } = await r.manager.startThread();
      let sent: Promise<unknown> | undefined;
      thread.events$.subscribe(({ msg }) => {
        if (msg.type === type) sent ??= thread.run("late");
      });
      await thread.run("early");
      await sent;
      const texts = textsOf(r.model.requests.at(-1) ?? { input: [] });
      assert.equal(texts.filter((text) => text === "late").length, 1, type);
      assert.equal(texts.filter((text) => text === "early").length, 1, type);
      assert.equal(thread.activeTurn, undefined);
    }
  });

  test("while the turn's end is being stored: the input waits for the next turn, and an interrupt reaches it there", async () => {
    const gate = latch();
    let syncs = 0;
    // Nothing but a turn's end asks for a sync.
    const store = slowSyncs(memoryStore(), () => (++syncs === 1 ? gate.opened : Promise.resolve()));
    await using r = await rig({ store, script: [[say("one")], [say("three")]] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const first = thread.run("a");
    await until(() => thread.activeTurn?.takesInput === false);
    const second = thread.run("b");
    const interrupting = thread.interrupt();
    const third = thread.run("c");
    gate.open();
    await interrupting;
    const results = await Promise.all([first, second, third]);
    assert.deepEqual(
      results.map(({ status, lastAgentMessage }) => [status, lastAgentMessage]),
      [
        ["completed", "one"],
        ["interrupted", null],
        ["completed", "three"],
      ],
    );
    assert.deepEqual(endsOf(seen), ["0 task_complete", "1 turn_aborted", "3 task_complete"]);
    assert.deepEqual(textsOf(r.model.requests[1] ?? { input: [] }), ["a", "one", "b", INTERRUPTED, "c"]);
  });

  test("a compaction replaces a turn, and input replaces a compaction; nothing that was said is lost", async () => {
    await using r = await rig({ script: [[hang()], [hang()], [say("ok")]] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const first = thread.run("a");
    await until(() => r.model.asked === 1);
    await thread.submit({ type: "compact" });
    assert.equal((await first).status, "interrupted");
    await until(() => r.model.asked === 2);
    const third = thread.run("b");
    assert.equal((await third).lastAgentMessage, "ok");
    assert.deepEqual(endsOf(seen), ["0 turn_aborted", "1 turn_aborted", "2 task_complete"]);
    assert.deepEqual(
      seen.flatMap(({ msg }) => (msg.type === "turn_aborted" ? [msg.reason] : [])),
      ["replaced", "replaced"],
    );
    assert.deepEqual(textsOf(r.model.requests[2] ?? { input: [] }), ["a", "b"]);
  });

  test("a burst of everything: each task ends once, each input is in the history once", async () => {
    await using r = await rig({ script: () => [wait(1), say("ok")] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const said: string[] = [];
    for (let n = 0; n < 12; n += 1) {
      said.push(`m${n}`);
      void thread.submit({ type: "user_input", items: [{ type: "text", text: `m${n}` }] });
      if (n % 3 === 1) void thread.interrupt();
      if (n % 4 === 2) void thread.submit({ type: "compact" });
    }
    for (let n = 0; n < 40; n += 1) await r.clock.advanceAsync(50);
    await until(() => thread.activeTurn === undefined);
    const started = seen.filter(({ msg }) => msg.type === "task_started").map(({ id }) => id);
    const ended = seen.filter(({ msg }) => ENDS.has(msg.type)).map(({ id }) => id);
    assert.deepEqual(ended, started);
    const stored = (await linesOf(r.store, thread.id)).flatMap((line) =>
      line.type === "response_item" && line.payload.type === "message" && line.payload.role === "user"
        ? textsOf({ input: [line.payload] })
        : [],
    );
    assert.deepEqual(stored.filter((text) => text !== INTERRUPTED).toSorted(), said.toSorted());
  });
});

function slowSyncs(inner: ThreadStore, gate: () => Promise<void>): ThreadStore {
  return overlaid(inner, {
    async create(...args) {
      const writer = await inner.create(...args);
      return overlaid(writer, {
        async sync() {
          await gate();
          await writer.sync();
        },
      });
    },
  });
}
