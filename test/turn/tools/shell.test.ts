import assert from "node:assert/strict";
import { test } from "node:test";
import { call } from "../../../src/model/script.ts";
import { bench } from "./tool-turn.ts";

test("a command's output goes to the model in Codex's form", async (t) => {
  const { thread, outputs } = await bench(t, [[call("shell_command", { command: "echo hello && ls" })], "done"]);
  await thread.run("go");
  assert.match(outputs()[0] ?? "", /^Exit code: 0\nWall time: [\d.]+ seconds\nOutput:\nhello\n$/);
});
