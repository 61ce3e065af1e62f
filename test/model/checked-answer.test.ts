/** What an embedder's model client says wrongly ends its turn in words, stores nothing of it, and leaves the thread to the next. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  defineThreadLogic,
  type ModelClient,
  memoryStore,
  ThreadManager,
  type ThreadManagerOptions,
} from "../../src/index.ts";

const message = { type: "message", role: "assistant", content: [{ type: "output_text", text: "wrong" }] };
const usage = {
  ...{ input_tokens: 1, cached_input_tokens: 0, output_tokens: 1, reasoning_output_tokens: 0, total_tokens: 2 },
};
const done = (item: unknown) => ({ type: "item_done", item });

/** An event as no client should give it, and what is said of it. */
const WRONG: readonly [event: unknown, said: RegExp][] = [
  [null, /\(event\): it must be an object with a type/],
  ["text", /it must be an object with a type/],
  [{ delta: "x" }, /it must be an object with a type/],
  [{ type: "text_delta", delta: 5 }, /\(text_delta\): delta must be a string/],
  [{ type: "reasoning_text_delta", delta: "x" }, /contentIndex must be a number/],
  [{ type: "rate_limits", snapshot: null }, /snapshot must be an object/],
  [done(undefined), /\(item_done\): item must be an object with a type/],
  [done({ ...message, content: "wrong" }), /item\.content must be an array/],
  [done({ ...message, content: [{ type: "output_text" }] }), /item\.content\[0\]\.text must be a string/],
  [done({ type: "function_call", call_id: "a", arguments: "{}" }), /item\.name must be a string/],
  [done({ type: "function_call", name: "t", call_id: "a", arguments: {} }), /item\.arguments must be a string/],
  [done({ ...message, size: 10n }), /item is no JSON: .*BigInt/],
  [{ type: "completed", usage: {} }, /usage\.input_tokens must be a number/],
  [{ type: "completed", usage: { ...usage, total_tokens: Number.NaN } }, /usage\.total_tokens must be a number/],
  [{ type: "completed", usage: { ...usage, output_tokens: "1" } }, /usage\.output_tokens must be a number/],
];

/** Answers first as it is told, and well from then on. */
function clientThat(first: () => unknown): { model: ModelClient; asked: () => number } {
  let asked = 0;
  const well = async function* () {
    yield done({ ...message, content: [{ type: "output_text", text: "well" }] });
    yield { type: "completed", usage: null };
  };
  const stream = () => {
    asked += 1;
    return asked === 1 ? first() : well();
  };
  // A client in JavaScript has no types.
  return { model: { providerId: "own", stream } as unknown as ModelClient, asked: () => asked };
}

async function tried(first: () => unknown, options: ThreadManagerOptions = {}) {
  const { model, asked } = clientThat(first);
  const manager = await ThreadManager.create({ store: memoryStore(), model, config: { builtInTools: [] }, ...options });
  const { thread } = await manager.startThread();
  const failed = await thread.run("one").catch((error: Error) => ({ status: "failed", error }));
  const askedThen = asked();
  const next = await thread.run("two");
  const lines = [];
  for await (const page of manager.store.load(thread.id)) lines.push(...page);
  await manager.shutdown();
  return { failed, next, asked: askedThen, lines: JSON.stringify(lines) };
}

suite("events that cannot be used", () => {
  for (const [event, said] of WRONG) {
    test(String(said), async () => {
      let closed = 0;
      const { failed, next, asked, lines } = await tried(async function* () {
        try {
          yield { type: "created" };
          yield event;
          yield { type: "completed" };
        } finally {
          closed += 1;
        }
      });
      assert.equal(failed.status, "failed");
      assert.match(failed.error?.message ?? "", said);
      assert.match(failed.error?.message ?? "", /model's client gave an event that cannot be used/);
      assert.deepEqual({ asked, closed }, { asked: 1, closed: 1 }, "not asked again, and its stream closed");
      assert.equal(next.status, "completed");
      assert.equal(next.lastAgentMessage, "well");
      assert.doesNotMatch(lines, /"text":"wrong"/);
    });
  }
});

test("an answer that is no iterable is told; events that are there at once, and unknown ones, are taken", async () => {
  for (const answer of [5, undefined, Promise.resolve([]), "text"]) {
    const { failed, next } = await tried(() => answer);
    assert.match(failed.error?.message ?? "", /must answer `stream` with an AsyncIterable/);
    assert.equal(next.status, "completed");
  }
  const { failed } = await tried(() => [{ type: "of_tomorrow" }, done(message), { type: "completed" }]);
  assert.equal(failed.status, "completed");
});

test("an own logic that asks the model is told the same", async () => {
  const threadLogic = defineThreadLogic({ turn: async ({ ask }) => (await ask({ input: "x" })).text });
  const { failed, next } = await tried(() => [done({ type: "message" })], { threadLogic });
  assert.match(failed.error?.message ?? "", /item\.role must be a string/);
  assert.equal(next.lastAgentMessage, "well");
});

test("what holds itself, or nests too deep, is stored clipped", async () => {
  const item: Record<string, unknown> = { ...message };
  item.self = item;
  const { failed, lines } = await tried(() => [done(item), { type: "completed" }]);
  assert.equal(failed.status, "completed");
  assert.match(lines, /left out: nested too deep/);
});
