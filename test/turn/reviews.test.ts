/** A review, as its thread tells of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { wait } from "../../src/model/script.ts";
import { rig, typesOf, until, watch } from "../rig.ts";

test("the end of an interrupted review is told before the turn's, when the reviewer is gone", async () => {
  await using r = await rig({ script: [[wait(new Promise(() => undefined))]] });
  const { thread } = await r.manager.startThread();
  const events = watch(thread);
  const reviewing = thread.review({ type: "custom", instructions: "look" });
  await until(() => r.model.asked === 1);
  await thread.interrupt();
  assert.equal((await reviewing).status, "interrupted");
  const told = typesOf(events).filter((type) => /_review_mode$|^turn_|^task_/.test(type));
  assert.deepEqual(told, ["entered_review_mode", "task_started", "exited_review_mode", "turn_aborted"]);
  assert.deepEqual(await r.manager.listThreadIds(), [thread.id]);
});
