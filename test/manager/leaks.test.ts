/** Nothing of a thread outlives it (T8): heap, registries, timers and handles, counted in a process of its own. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const CHILD = fileURLToPath(new URL("leaks.child.ts", import.meta.url));

async function child(mode: string, count: number): Promise<Record<string, unknown>> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--expose-gc",
    "--no-warnings",
    CHILD,
    mode,
    String(count),
  ]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const NOTHING = {
  ...{ used: 0, unloadedThreads: 0, incarnations: 0, handles: 0, removed: 0 },
  ...{ groups: 0, members: 0, watches: 0, away: 0, timers: 0, accounts: 0, notices: 0 },
  ...{ open: 0, asked: 0, subscriptions: 0, mail: 0 },
};

suite("leaks", () => {
  for (const [mode, count, says] of [
    ["shutdown", 9_000, "threads started and shut down"],
    ["removed", 6_000, "threads started, removed and shut down"],
    ["dropped", 4_000, "threads started and removed, and held by nobody"],
    ["turns", 1_500, "threads that ran a turn"],
    ["members", 1_000, "threads started in one group, and taken out of it"],
    ["beside", 1_000, "threads in groups, watched, linked, with topics, timers, budgets and mail"],
    ["waits", 5_000, "waits for an event that never comes, given up"],
  ] as const) {
    test(`${count} ${says}: the heap stays flat, nothing is left`, async () => {
      const { grownBy, left, resources } = await child(mode, count);
      assert.deepEqual([left, resources], [NOTHING, 0]);
      // Compiled code and the like cost something once; a leak of one small object a thread costs more than the rest.
      const allowed = 1_000_000 + 60 * count;
      assert.ok(Number(grownBy) < allowed, `the heap grew by ${Number(grownBy) / count} bytes for each`);
    });
  }

  test("an agent control does not keep its manager alive", async () => {
    assert.deepEqual(await child("weak", 0), { message: "unsupported operation: thread manager dropped" });
  });
});
