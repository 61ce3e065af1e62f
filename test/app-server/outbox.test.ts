import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Outbox } from "../../src/app-server/outbox.ts";
import { say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { serve } from "./test-client.ts";

const delta = (itemId: string, text: string, threadId = "t") => ({
  method: "item/agentMessage/delta",
  params: { threadId, turnId: "u", itemId, delta: text },
  emittedAtMs: 0,
});
const other = (method: string, params: object = {}) => ({
  method,
  params: { threadId: "t", ...params },
  emittedAtMs: 0,
});

function slowBox(limits = { deltaBytes: 1000, maxBytes: 1000 }) {
  const sent: { method: string; params: { itemId?: string; delta?: string } }[] = [];
  const wire = {
    ready: false,
    send(text: string) {
      sent.push(JSON.parse(text));
      return wire.ready;
    },
  };
  const dropped: string[] = [];
  const box = new Outbox(wire, limits, (threadId) => dropped.push(threadId));
  box.push(other("first"));
  return { box, wire, sent, dropped };
}

test("while the client reads slowly, deltas of an item grow together and nothing overtakes", () => {
  const { box, wire, sent } = slowBox();
  box.push(delta("a", "1"));
  box.push(delta("b", "x"));
  box.push(delta("a", "2"));
  box.push(other("item/completed", { item: { id: "a" } }));
  box.push(delta("b", "y"));
  wire.ready = true;
  box.drain();
  assert.deepEqual(
    sent.map(({ method, params }) => [method, params.itemId, params.delta]),
    [
      ["first", undefined, undefined],
      ["item/agentMessage/delta", "a", "12"],
      ["item/agentMessage/delta", "b", "xy"],
      ["item/completed", undefined, undefined],
    ],
  );
});

test("beyond the bound deltas are left out, which is told once; all else waits", () => {
  const { box, wire, sent, dropped } = slowBox({ deltaBytes: 10, maxBytes: 100 });
  for (let i = 0; i < 100; i++) box.push(delta("a", "xxx"));
  assert.deepEqual(dropped, ["t"]);
  assert.equal(box.isFull, false);
  for (let i = 0; i < 50; i++) box.push(other("turn/completed", { i }));
  assert.equal(box.isFull, true);
  wire.ready = true;
  box.drain();
  assert.equal(box.isFull, false);
  assert.equal(sent.filter(({ method }) => method === "turn/completed").length, 50);
  assert.equal(sent.find(({ method }) => method.endsWith("delta"))?.params.delta, "xxxxxxxxx");
});

test("whatever the client's pace: nothing but deltas is lost, order holds for each item, texts stay whole", () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("delta" as const),
      item: fc.constantFrom("a", "b"),
      text: fc.string({ minLength: 1, maxLength: 3 }),
    }),
    fc.record({ kind: fc.constant("end" as const), item: fc.constantFrom("a", "b") }),
    fc.record({ kind: fc.constant("other" as const) }),
    fc.record({ kind: fc.constant("drain" as const), ready: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { box, wire, sent } = slowBox({ deltaBytes: 1_000_000, maxBytes: 1_000_000 });
      const expected: string[] = ["first"];
      const texts = { a: "", b: "" };
      for (const each of steps) {
        if (each.kind === "delta") {
          box.push(delta(each.item, each.text));
          texts[each.item as "a" | "b"] += each.text;
        } else if (each.kind === "end") {
          box.push(other("item/completed", { item: { id: each.item }, text: texts[each.item as "a" | "b"] }));
          expected.push("item/completed");
          texts[each.item as "a" | "b"] = "";
        } else if (each.kind === "other") {
          box.push(other("turn/started"));
          expected.push("turn/started");
        } else {
          wire.ready = each.ready;
          box.drain();
        }
      }
      wire.ready = true;
      box.drain();
      assert.deepEqual(
        sent.filter(({ method }) => !method.endsWith("delta")).map(({ method }) => method),
        expected,
      );
      const seen: Record<string, string> = { a: "", b: "" };
      for (const { method, params } of sent) {
        const {
          itemId,
          delta: text,
          item,
          text: whole,
        } = params as { itemId?: string; delta?: string; item?: { id: string }; text?: string };
        if (itemId !== undefined) seen[itemId] += text ?? "";
        if (method === "item/completed" && item !== undefined) {
          assert.equal(seen[item.id], whole);
          seen[item.id] = "";
        }
      }
    }),
  );
});

test("a slow reader is not cut off, gets every turn's end, and is told of what was left out", async () => {
  const model = scriptedClient(() => [
    say("x".repeat(5_000), { deltas: Array.from({ length: 500 }, () => "xxxxxxxxxx") }),
  ]);
  await using served = await serve({ manager: { model }, server: { limits: { deltaBytes: 1_000, maxBytes: 10_000 } } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  let isSlow = false;
  const wires: { drain?: () => void } = {};
  const slow = served.connect({ isSlow: () => isSlow }, wires);
  await slow.initialize();
  await slow.request("thread/resume", { threadId: thread.id, excludeTurns: true });
  isSlow = true;
  const turns: string[] = [];
  for (const text of ["a", "b", "c"]) turns.push((await client.turn(thread.id, text)).id);
  isSlow = false;
  wires.drain?.();
  await slow.find(({ method, params }) => method === "turn/completed" && params.turn.id === turns[2]);
  const ends = slow.log.filter(({ method }) => method === "turn/completed").map(({ params }) => params.turn.id);
  assert.deepEqual(ends, turns);
  assert.ok(slow.log.some(({ method, params }) => method === "warning" && /reads slowly/.test(params.message)));
  const whole = slow.log.filter(
    ({ method, params }) => method === "item/completed" && params.item.type === "agentMessage",
  );
  assert.ok(whole.every(({ params }) => params.item.text.length === 5_000));
  assert.ok(slow.log.filter(({ method }) => method === "item/agentMessage/delta").length < 100);
});
