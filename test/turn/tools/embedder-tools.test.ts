/** An embedder's tools beside those of the house: outputs without bounds, work without end, names that clash. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { call } from "../../../src/model/script.ts";
import { InvalidRequestError } from "../../../src/protocol/errors.ts";
import { tool } from "../../../src/turn/tool.ts";
import { bench, kinds, nextOf } from "./tool-turn.ts";

test("an output of 100 MB is cut for the model and for those who watch", async (t) => {
  const flood = tool({ name: "flood", description: "", execute: () => `begin${"é".repeat(50_000_000)}end` });
  const { thread, outputs, events } = await bench(t, [[call("flood")], "done"], { tools: [flood] });
  assert.equal((await thread.run("go")).lastAgentMessage, "done");
  const [output = ""] = outputs();
  assert.ok(Buffer.byteLength(output) < 40_100);
  assert.ok(/^beginé+…2499\d{4} tokens truncated…é+end$/.test(output), output.slice(19_990, 20_050));
  assert.ok(events.every(({ msg }) => JSON.stringify(msg).length < 100_000));
});

test("a tool that never ends is abandoned by an interrupt, and a command beside it is killed", async (t) => {
  const endless = tool({ name: "endless", description: "", execute: () => new Promise(() => undefined) });
  const { thread, outputs, events } = await bench(
    t,
    [[call("endless"), call("shell_command", { command: "sleep 1000", login: false, timeout_ms: 60_000 })], "never"],
    { tools: [endless] },
  );
  const begun = nextOf(thread, "exec_command_begin");
  const turn = thread.run("go").catch(() => undefined);
  await begun;
  await thread.interrupt();
  await turn;
  assert.equal(outputs().length, 2);
  for (const output of outputs()) assert.match(output, /^Wall time: [\d.]+ seconds\naborted by user$/);
  assert.equal(kinds(events).at(-1), "turn_aborted");
});

test("a tool may not take the name of one of the house", async (t) => {
  const { manager } = await bench(t, []);
  const shell = tool({ name: "shell_command", description: "", execute: () => "" });
  await assert.rejects(manager.startThread({ tools: [shell], builtInTools: ["shell"] }), InvalidRequestError);
  const { thread } = await manager.startThread({ tools: [shell], builtInTools: [] });
  assert.equal((await thread.run("hi")).lastAgentMessage, "ack: hi");
});
