import assert from "node:assert/strict";
import { test } from "node:test";
import { SendLines } from "../../src/manager/send-lines.ts";
import { settled } from "../kernel/settled.ts";
import { latch } from "../rig.ts";

test("a line keeps its order, also behind a failure, has so much room, and is gone when all is done", async () => {
  const lines = new SendLines(2);
  const did: string[] = [];
  const gate = latch();
  const first = lines.run("a", () => gate.opened.then(() => assert.fail("told")));
  const second = lines.run("a", () => did.push("second"));
  assert.throws(() => lines.run("a", () => did.push("third")), { code: "overloaded" });
  assert.equal(
    lines.run("b", () => did.push("another line")),
    1,
  );
  gate.open();
  await assert.rejects(async () => first, /told/);
  await second;
  await settled();
  assert.deepEqual(did, ["another line", "second"]);
  assert.equal(
    lines.run("a", () => did.push("at once")),
    3,
  );
});
