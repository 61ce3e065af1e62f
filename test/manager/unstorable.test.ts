/** What no JSON can hold, wherever a thread may be given it: refused with a type, told to the model, or stored, but never lost in silence. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type InitialHistory, type Op, type ThreadConfig, tool } from "../../src/index.ts";
import { call, say } from "../../src/model/script.ts";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { assistantMessage } from "../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import { linesOf, rig } from "../rig.ts";

const boom = (): never => {
  throw new Error("boom");
};

const UNSTORABLE: Readonly<Record<string, () => unknown>> = {
  "a BigInt": () => 1n,
  "a getter that throws": () => Object.defineProperty({}, "x", { enumerable: true, get: boom }),
  "a `toJSON` that throws": () => ({ toJSON: boom }),
  "what holds itself": () => {
    const circle: { itself?: unknown } = {};
    circle.itself = circle;
    return circle;
  },
};

const input = (more: object = {}): Op => ({ type: "user_input", items: [{ type: "text", text: "hi" }], ...more }) as Op;

for (const [kind, unstorable] of Object.entries(UNSTORABLE)) {
  suite(kind, () => {
    test("in an op, known or not: the op is refused, and the thread goes on", async () => {
      await using r = await rig({ script: [[say("fine")]] });
      const { thread } = await r.manager.startThread();
      const before = await linesOf(r.store, thread.id);
      for (const op of [input({ later: unstorable() }), { type: "of_the_future", x: unstorable() } as unknown as Op]) {
        await assert.rejects(thread.submit(op), InvalidRequestError);
      }
      assert.deepEqual(await linesOf(r.store, thread.id), before);
      assert.equal((await thread.run("go on")).status, "completed");
    });

    test("in what a tool answers: the model hears why", async () => {
      const odd = tool({ name: "odd", description: "", execute: unstorable });
      const bare = { ...odd, spec: { ...odd.spec, name: "bare" }, call: async () => [unstorable()] as never };
      const script = [[call("odd", {}), call("bare", {})], [say("fine")]];
      await using r = await rig({ config: { tools: [odd, bare] }, script });
      const { thread } = await r.manager.startThread();
      const result = await thread.run("go");
      assert.deepEqual([result.status, result.lastAgentMessage], ["completed", "fine"]);
      const outputs = r.model.requests
        .at(-1)
        ?.input.slice(-2)
        .map((item) => ("output" in item ? item.output : ""));
      assert.match(String(outputs?.[0]), /boom|BigInt|circular/);
      assert.equal(outputs?.[1], "tool `bare` answered with no text");
    });

    test("in a thread's settings and its initial history: no thread is made", async () => {
      await using r = await rig();
      const item = Object.assign({ type: "response_item", payload: assistantMessage("x") }, { later: unstorable() });
      const history: InitialHistory = { type: "forked", items: [item as RolloutItem] };
      await assert.rejects(r.manager.forkThread({ from: { history } }), {
        code: "invalid_request",
        message: /boom|BigInt|holds itself/,
      });
      const config = { baseInstructions: unstorable() } as unknown as ThreadConfig;
      await assert.rejects(r.manager.startThread(config), InvalidRequestError);
      assert.deepEqual((await r.store.list()).threads, []);
    });
  });
}
