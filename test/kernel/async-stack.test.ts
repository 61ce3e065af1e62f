import assert from "node:assert/strict";
import { test } from "node:test";
import { AsyncStack } from "../../src/kernel/async-stack.ts";

test("what a stack holds is disposed of once, the last first, whatever fails; what has moved on is another's", async () => {
  const told: string[] = [];
  const held = (name: string) => ({
    [Symbol.asyncDispose]: async () => {
      told.push(name);
      if (name === "b") throw new Error("b failed");
    },
  });
  const stack = new AsyncStack();
  for (const name of ["a", "b"]) stack.use(held(name));
  stack.use({ [Symbol.dispose]: () => told.push("c") });
  const moved = stack.move();
  await stack[Symbol.asyncDispose]();
  assert.deepEqual(told, []);
  await assert.rejects(moved[Symbol.asyncDispose](), /b failed/);
  await moved[Symbol.asyncDispose]();
  assert.deepEqual(told, ["c", "b", "a"]);
});
