/** Items of the tools of the house are told once each, whichever of their events a client knows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventMapper } from "../../src/app-server/v2/map-events.ts";
import { call } from "../../src/model/script.ts";
import { bench } from "../turn/tools/tool-turn.ts";

test("a command and a patch: one start, their output, one end", async (t) => {
  const input = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch";
  const { thread, events } = await bench(t, [
    [call("shell_command", { command: "echo hi", login: false }), call("apply_patch", { input })],
    "done",
  ]);
  await thread.run("go");
  const mapper = new EventMapper(thread.id);
  const told = events
    .flatMap((event) => mapper.map(event, 1))
    .map(({ method, params }) => {
      const { type } = (params.item ?? {}) as { type?: string };
      return type === undefined ? method : `${method} ${type}`;
    });
  assert.deepEqual(
    told.filter((line) => /command|fileChange|diff/i.test(line)),
    [
      "item/started commandExecution",
      "item/commandExecution/outputDelta",
      "item/completed commandExecution",
      "item/started fileChange",
      "item/fileChange/outputDelta",
      "item/fileChange/outputDelta",
      "item/completed fileChange",
      "turn/diff/updated",
    ],
  );
});
