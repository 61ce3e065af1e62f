import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { ended, jsonLines, printed, skein, start } from "./skein.ts";
import { tempFolder } from "./temp-home.ts";

const summaryOf = (stdout: string) => jsonLines(stdout).at(-1) ?? {};
const treeOf = (summary: Record<string, unknown>) => summary.tree as Record<string, unknown>[];

test("in a pipe the demo prints plain lines and the tree of its threads", async () => {
  const { code, stdout, stderr } = await skein(["demo"]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.match(stdout, /^skein demo: 5 agents, 3 turns each\. A scripted model answers: no key, no network/);
  assert.doesNotMatch(stdout, /\p{Cc}\[/u);
  assert.match(stdout, /^driver {3}drive_minutes\(\{"km":84,"kmh":63\}\) -> 80$/m);
  assert.match(stdout, /^lead\/2 {3}\* forked from lead at its second user message/m);
  assert.match(stdout, /^radio {4}\* its endless turn ended as interrupted$/m);
  assert.match(stdout, /^scout {4}\* left the manager; its shutdown: completed$/m);
  assert.match(
    stdout,
    /^lead +idle +4 +\d+ +\d+\n├─ driver \(agent\) +idle +3 .*\n├─ radio \(agent\) +interrupted +4 /m,
  );
  assert.match(stdout, /^└─ lead\/2 \(fork\) +idle +1 /m);
  assert.match(stdout, /6 threads, 18 turns in [\d.]+ s; shutdown: 5 closed, 0 failed, 0 timed out\.\n$/);
});

test("with --json the last line counts what the other lines tell", async () => {
  const { code, stdout } = await skein(["demo", "--json"]);
  assert.equal(code, 0);
  const lines = jsonLines(stdout);
  const summary = summaryOf(stdout);
  const { tree, elapsedMs, tokens, ...counts } = summary;
  assert.deepEqual(counts, {
    type: "summary",
    model: "scripted",
    complete: true,
    threads: 6,
    turns: 18,
    forks: 1,
    interrupted: 1,
    removed: 1,
    failed: 0,
    toolCalls: 1,
    shutdown: { completed: 5, failed: 0, timedOut: 0 },
  });
  assert.ok(Number(elapsedMs) > 0 && Number(tokens) > 0);

  const kinds = (kind: string) => lines.filter((line) => (line.msg as { type?: string } | undefined)?.type === kind);
  assert.equal(kinds("task_complete").length + kinds("turn_aborted").length, 18);
  assert.equal(kinds("session_configured").length, 6);
  const fork = treeOf(summary).find((thread) => thread.forkedFromId !== null);
  const lead = treeOf(summary).find((thread) => thread.name === "lead");
  assert.equal(fork?.forkedFromId, lead?.threadId);
  assert.equal(treeOf(summary).filter((thread) => thread.parentThreadId === lead?.threadId).length, 2);
});

test("every thread's first event is session_configured, and its events have no gaps", async () => {
  const { stdout } = await skein(["demo", "--json", "--threads", "7", "--turns", "2"]);
  const next = new Map<string, number>();
  for (const line of jsonLines(stdout)) {
    if (line.type !== "event") continue;
    const { threadId, seq, msg } = line as { threadId: string; seq: number; msg: { type: string } };
    assert.equal(seq, next.get(threadId) ?? 0);
    assert.equal(seq === 0, msg.type === "session_configured");
    next.set(threadId, seq + 1);
  }
  assert.equal(next.size, 8);
});

for (const threads of [1, 2, 3]) {
  test(`${threads} agent(s) share the parts of the demo among them`, async () => {
    const { code, stdout } = await skein(["demo", "--json", "--threads", String(threads), "--turns", "1"]);
    const { forks, interrupted, removed, toolCalls, turns } = summaryOf(stdout);
    assert.deepEqual(
      { code, forks, interrupted, removed, toolCalls, turns },
      { code: 0, forks: 1, interrupted: 1, removed: 1, toolCalls: 1, turns: threads + 4 },
    );
  });
}

test("many agents scale", async () => {
  const { code, stdout } = await skein(["demo", "--threads", "1000", "--turns", "1", "--json"]);
  const { threads, turns, shutdown } = summaryOf(stdout);
  assert.deepEqual(
    { code, threads, turns, shutdown },
    { code: 0, threads: 1001, turns: 1004, shutdown: { completed: 1000, failed: 0, timedOut: 0 } },
  );
});

test("a number that makes no sense is a usage error", async () => {
  for (const bad of ["0", "-1", "x", "1.5", "9999999999"]) {
    const { code, stdout, stderr } = await skein(["demo", `--threads=${bad}`]);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
    assert.match(stderr, /^error: option '--threads <n>' argument '.*' is invalid\. It must be a whole number from 1/);
  }
});

for (const [name, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  test(`${name} shuts the manager down and still tells the summary`, async () => {
    const child = start(["demo", "--json", "--threads", "20", "--turns", "100000"]);
    const end = ended(child);
    await printed(child, "task_complete");
    child.kill(name);
    const { code: exitCode, stdout, stderr } = await end;
    const { complete, threads, shutdown } = summaryOf(stdout);
    assert.deepEqual(
      { exitCode, stderr, complete, threads, shutdown },
      { exitCode: code, stderr: "", complete: false, threads: 20, shutdown: { completed: 20, failed: 0, timedOut: 0 } },
    );
  });
}

test("a reader that leaves early is no error, and nothing is left in the temporary folder", async (t) => {
  const folder = await tempFolder(t);
  const child = start(["demo", "--json", "--threads", "500"], {
    env: { TMPDIR: folder, NODE_DISABLE_COMPILE_CACHE: "1" },
  });
  const end = ended(child);
  await printed(child, "session_configured");
  child.stdout.destroy();
  const { code, stderr } = await end;
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.deepEqual(await readdir(folder), []);
});

test("--home keeps the threads for the other commands", async (t) => {
  const home = await tempFolder(t);
  assert.equal((await skein(["demo", "--home", home])).code, 0);
  const { stdout } = await skein(["list", "--home", home, "--source", "cli", "--source", "subagent", "--json"]);
  assert.equal((JSON.parse(stdout) as { threads: unknown[] }).threads.length, 6);
  assert.equal((await skein(["verify", "--home", home])).code, 0);
});
