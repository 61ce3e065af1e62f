/** A logic whose state outlives its process, which is killed: the example of it, run. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

test("killed in each state, it goes on from there (kill -9)", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--no-warnings", "persisted-machine.mjs"], {
    cwd: join(import.meta.dirname, "../../examples"),
    timeout: 120_000,
  });
  assert.deepEqual(stdout.trim().split("\n"), [
    "open -> paid 1",
    "paid -> packed 2",
    "packed -> sent 3",
    "sent -> sent 4",
  ]);
});
