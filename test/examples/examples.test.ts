/** Every program of examples/ runs as its README says, on the built package, and ends by itself. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const folder = join(import.meta.dirname, "../../examples");

/** What each prints, line by line; a pattern where a line is not always the same. */
const OUTPUT: Readonly<Record<string, readonly (string | RegExp)[]>> = {
  "hello.mjs": ["0 session_configured", "ack: Hello!", /^1 /, "ack: Hello again!"],
  "tools-and-output.mjs": [/plum|Invalid/, '{"cents":40}', '{"cents":55}', "completed 95 cents"],
  "approvals-over-http.mjs": [
    "asked, and the client is gone",
    "another client finds 1 question",
    "the first one comes back and reads: I was not allowed to.",
  ],
  "pipeline.mjs": ["ONE:3", "TWO:3", "THREE:5", "failures 1 threads 3"],
  "own-logic.mjs": ["message 1", "message 2"],
  "fan-out.mjs": ["200 answers, never more than 8 at a time", "sent ack: Draft it. | sent ack: Draft it."],
  "debate.mjs": [
    "round 1: point 1 against point 1",
    "the human is asked: End the debate with a draw? denied",
    "round 2: point 2 against point 2",
    "the human is asked: End the debate with a draw? approved",
    "the verdict: a draw",
  ],
  "research-tree.mjs": [
    "3 findings",
    "1 gap, for want of budget",
    "asked again, from what is stored: found: question 1.1.1",
  ],
  "tournament.mjs": [/^round 1 /, /^round 3 /, "the winner's line: 3 ancestors"],
  "supervised-pipeline.mjs": ["40 jobs written, 40 different; many crashes"],
  // The service goes on until the signal has reached it.
  "killed-twice.mjs": [
    /^killed after done [3-9]$/,
    /^killed after done [6-9]$/,
    "ended after done 9",
    "9 of 9 jobs are done",
  ],
  "persisted-machine.mjs": ["open -> paid 1", "paid -> packed 2", "packed -> sent 3", "sent -> sent 4"],
  "messages-only.mjs": [
    "clerk has 3 apples",
    "clerk has 1 pears by deliveries",
    "published to 1",
    "apples 3",
    "clerk has 2 plums",
    "dead letter: delivery message_refused",
  ],
  "mcp-and-ai-sdk.mjs": ["asks weather report", "Sunny in Bern."],
};

test("every example has its expected output here", () => {
  const programs = readdirSync(folder).filter((name) => name.endsWith(".mjs"));
  assert.deepEqual(programs.toSorted(), Object.keys(OUTPUT).toSorted());
});

for (const [name, expected] of Object.entries(OUTPUT)) {
  test(name, async () => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--no-warnings", name], {
      cwd: folder,
      timeout: 60_000,
    });
    assert.equal(stderr, "");
    const lines = stdout.trim().split("\n");
    for (const line of expected)
      assert.ok(
        lines.some((printed) => (typeof line === "string" ? printed === line : line.test(printed))),
        `${String(line)} in:\n${stdout}`,
      );
  });
}
