import assert from "node:assert/strict";
import { test } from "node:test";
import { onceAborted, untilAborted } from "../../src/kernel/abort-listeners.ts";
import { observe, settled } from "./settled.ts";

test("all who listen to a signal are called once, none that has stopped, and whoever comes after all have", () => {
  const controller = new AbortController();
  const { signal } = controller;
  const called: string[] = [];
  const stops = ["a", "b"].map((name) => onceAborted(signal, () => called.push(name)));
  for (const stop of stops) stop();
  const stop = onceAborted(signal, () => called.push("c"));
  onceAborted(signal, () => called.push("d"));
  stop();
  controller.abort();
  assert.deepEqual(called, ["d"]);
});

test("an abort is waited for; one that has come is not", async () => {
  const controller = new AbortController();
  const waiting = observe(untilAborted(controller.signal));
  await settled();
  assert.equal(waiting.outcome, "pending");
  controller.abort();
  await settled();
  assert.notEqual(waiting.outcome, "pending");
  await untilAborted(controller.signal);
});
