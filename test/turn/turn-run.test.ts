import assert from "node:assert/strict";
import { test } from "node:test";
import { newTurnId, toSubmissionId } from "../../src/protocol/ids.ts";
import { resolveThreadConfig } from "../../src/protocol/thread-config.ts";
import { TurnRun } from "../../src/turn/turn-run.ts";

test("a place that comes to a turn that is over goes back at once; any other when the turn ends, once", () => {
  const config = resolveThreadConfig({ cwd: "/" });
  const run = () =>
    new TurnRun({ id: toSubmissionId("0"), turnId: newTurnId(), kind: "regular", config, startedAt: 0 });
  const released: string[] = [];
  const aborted = run();
  aborted.abort(new Error("over"));
  aborted.occupy(() => released.push("aborted"));
  const ended = run();
  ended.ended = true;
  ended.occupy(() => released.push("ended"));
  assert.deepEqual(released, ["aborted", "ended"]);
  const running = run();
  running.occupy(() => released.push("running"));
  assert.deepEqual(released.length, 2);
  running.vacate();
  running.vacate();
  assert.deepEqual(released, ["aborted", "ended", "running"]);
});
