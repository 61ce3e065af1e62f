/** The commands over stored threads, on a home of their own. */
import assert from "node:assert/strict";
import { appendFile, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { jsonLines, skein } from "./skein.ts";
import { storedThread, tempFolder } from "./temp-home.ts";

const MISSING = "01234567-89ab-7def-8123-456789abcdef";

const one = async (args: readonly string[]): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await skein(args);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  return JSON.parse(stdout) as Record<string, unknown>;
};
const idsOf = (page: Record<string, unknown>) =>
  (page.threads as { threadId: string }[]).map(({ threadId }) => threadId);

test("list: newest first, by page, by filter and by search", async (t) => {
  const home = await tempFolder(t);
  const a = await storedThread(home, ["the wind is up"], "/tmp/a");
  const b = await storedThread(home, ["the radio\tis on"], "/tmp/b");
  const list = (...args: string[]) => one(["list", "--home", home, "--json", ...args]);

  assert.deepEqual(idsOf(await list()), [b.threadId, a.threadId]);
  assert.deepEqual(idsOf(await list("--cwd", "/tmp/a")), [a.threadId]);
  assert.deepEqual(idsOf(await list("--search", "radio")), [b.threadId]);
  assert.deepEqual(idsOf(await list("--archived")), []);
  const first = await list("--limit", "1");
  assert.deepEqual(idsOf(first), [b.threadId]);
  assert.deepEqual(idsOf(await list("--limit", "1", "--cursor", String(first.nextCursor))), [a.threadId]);
  assert.deepEqual(idsOf(await list("--all")), [b.threadId, a.threadId]);

  const { stdout } = await skein(["list"], { env: { SKEIN_HOME: home } });
  const cells = stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t"));
  assert.deepEqual(
    cells.map((row) => [row.length, row[0], row[4], row[5]]),
    [
      [6, b.threadId, "/tmp/b", "the radio is on"],
      [6, a.threadId, "/tmp/a", "the wind is up"],
    ],
  );
});

test("list --interrupted shows what was broken off, until it goes on", async (t) => {
  const home = await tempFolder(t);
  const done = await storedThread(home, ["the wind is up"]);
  const cut = await storedThread(home, ["the radio is on"]);
  const [newest] = (await one(["list", "--home", home, "--json"])).threads as { rolloutPath: string }[];
  const rolloutPath = String(newest?.rolloutPath);
  const lines = (await readFile(rolloutPath, "utf8")).trimEnd().split("\n");
  // As a process that was killed leaves it.
  await writeFile(rolloutPath, `${lines.filter((line) => !line.includes('"task_complete"')).join("\n")}\n`);
  const list = (...args: string[]) => one(["list", "--home", home, "--json", ...args]);
  assert.deepEqual(idsOf(await list("--interrupted")), [cut.threadId]);
  const threads = (await list()).threads as { threadId: string; interrupted: boolean; openTurn: unknown }[];
  assert.deepEqual(
    threads.map(({ threadId, interrupted, openTurn }) => [threadId, interrupted, openTurn]),
    [
      [cut.threadId, true, { turnId: cut.turnIds[0] }],
      [done.threadId, false, null],
    ],
  );
  const on = await skein(["exec", "--home", home, "resume", cut.threadId, "go on"]);
  assert.equal(on.code, 0, on.stderr);
  assert.deepEqual(idsOf(await list("--interrupted")), []);
});

test("the home is that of --home, SKEIN_HOME or CODEX_HOME, in this order", async (t) => {
  const [first, second, third] = [await tempFolder(t), await tempFolder(t), await tempFolder(t)];
  const [a, b, c] = [
    await storedThread(first, ["a"]),
    await storedThread(second, ["b"]),
    await storedThread(third, ["c"]),
  ];
  const env = { SKEIN_HOME: second, CODEX_HOME: third };
  const listed = async (args: string[], surroundings: Record<string, string>) =>
    (await skein([...args, "list"], { env: surroundings })).stdout.split("\t")[0];
  assert.equal(await listed(["--home", first], env), a.threadId);
  assert.equal(await listed([], env), b.threadId);
  assert.equal(await listed([], { CODEX_HOME: third, SKEIN_HOME: "" }), c.threadId);
});

test("an empty home lists nothing, and nothing is an error", async (t) => {
  const home = join(await tempFolder(t), "not-there");
  assert.deepEqual(await skein(["list", "--home", home]), { code: 0, stdout: "", stderr: "" });
  assert.deepEqual(await one(["list", "--home", home, "--json"]), { threads: [], nextCursor: null });
});

test("a command that finds no home makes none", { concurrency: 4 }, async (t) => {
  const folder = await tempFolder(t);
  const commands = [
    ...[["list"], ["list", "--search", "x"], ["show", MISSING], ["export", MISSING], ["fork", MISSING], ["tree"]],
    ...[
      ["top", "--json"],
      ["verify"],
      ["repair"],
      ["recover"],
      ["login", "status"],
      ["logout"],
      ["copy", "--to", "copied"],
    ],
    ...[
      ["archive", MISSING],
      ["unarchive", MISSING],
      ["delete", MISSING],
      ["exec", "resume", MISSING, "hi"],
    ],
  ];
  const tried = commands.map((args) =>
    t.test(args.join(" "), async () => {
      await skein([...args, "--home", join(folder, "none")], { cwd: folder });
      assert.deepEqual(await readdir(folder), []);
    }),
  );
  await Promise.all(tried);
});

test("show prints the conversation, a fork's with what it inherits", async (t) => {
  const home = await tempFolder(t);
  const { threadId, turnIds } = await storedThread(home, ["one", "two\nlines", "three"]);
  const { code, stdout } = await skein(["show", threadId, "--home", home]);
  assert.equal(code, 0);
  assert.match(stdout, new RegExp(`^thread ${threadId}\n`));
  assert.ok(
    stdout.includes(`\nturn ${turnIds[1]}\n> two (user message 1)\n  lines\nack: two\nlines\nturn complete (`),
    stdout,
  );
  const last = await skein(["show", threadId, "--home", home, "--last", "1"]);
  assert.ok(last.stdout.includes(`turn ${turnIds[2]}`) && !last.stdout.includes(`turn ${turnIds[1]}`));

  const fork = await skein(["fork", threadId, "--home", home, "--before-user-message", "2"]);
  const forkId = fork.stdout.trim();
  const shown = (await skein(["show", forkId, "--home", home])).stdout;
  assert.match(shown, new RegExp(`^forked from ${threadId}$`, "m"));
  assert.deepEqual(shown.match(/^turn [0-9a-f-]{36}$/gm), [`turn ${turnIds[0]}`, `turn ${turnIds[1]}`]);

  const [head, ...lines] = jsonLines((await skein(["show", forkId, "--home", home, "--json"])).stdout);
  assert.deepEqual([head?.type, head?.ancestors, head?.descendants], ["thread", [threadId], []]);
  assert.equal(lines.filter((line) => line.type === "response_item").length, 5);
});

test("a terminal's commands in a conversation are not passed on", async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["clear \u001b[2J and \u001b]0;title\u0007 bell"]);
  const { stdout } = await skein(["show", threadId, "--home", home]);
  assert.doesNotMatch(stdout.replaceAll("\n", ""), /\p{Cc}/u);
  assert.match(stdout, /> clear {2}and {2}bell/);
});

test("fork: by message, by turn and whole", async (t) => {
  const home = await tempFolder(t);
  const { threadId, turnIds } = await storedThread(home, ["one", "two"]);
  const messages = async (...args: string[]): Promise<number> => {
    const made = await one(["fork", threadId, "--home", home, "--json", ...args]);
    const { stdout } = await skein(["show", String(made.threadId), "--home", home]);
    return (stdout.match(/\(user message/g) ?? []).length;
  };
  assert.equal(await messages(), 2);
  assert.equal(await messages("--before-user-message", "1"), 1);
  assert.equal(await messages("--through-turn", String(turnIds[0])), 1);
  assert.equal(await messages("--before-turn", String(turnIds[0])), 0);

  const made = await one(["fork", threadId, "--home", home, "--json"]);
  assert.equal(made.forkedFromId, threadId);
  const header = (await readFile(String(made.rolloutPath), "utf8")).split("\n")[0] ?? "";
  assert.equal(JSON.parse(header).payload.cwd, "/tmp");
  const bad = await skein(["fork", threadId, "--home", home, "--through-turn", MISSING]);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /^error: .*\(invalid_fork_point\)\n$/);
});

test("archive, unarchive and delete, several at once", async (t) => {
  const home = await tempFolder(t);
  const a = await storedThread(home, ["a"]);
  const b = await storedThread(home, ["b"]);
  const listed = async (...args: string[]) => idsOf(await one(["list", "--home", home, "--json", ...args]));

  assert.deepEqual(await skein(["archive", "--home", home, a.threadId, b.threadId]), {
    code: 0,
    stdout: `archived ${a.threadId}\narchived ${b.threadId}\n`,
    stderr: "",
  });
  assert.deepEqual([await listed(), await listed("--archived")], [[], [b.threadId, a.threadId]]);
  assert.deepEqual(await one(["unarchive", "--home", home, "--json", a.threadId]), {
    threadId: a.threadId,
    done: "unarchived",
  });
  assert.deepEqual(await listed(), [a.threadId]);

  const { code, stdout, stderr } = await skein(["delete", "--home", home, MISSING, a.threadId]);
  assert.deepEqual({ code, stdout }, { code: 1, stdout: `deleted ${a.threadId}\n` });
  assert.match(stderr, new RegExp(`^error: ${MISSING}: .*\\(rollout_not_found\\)\n$`));
  assert.deepEqual(await listed(), []);
});

test("export writes one self-contained file, never over another one", async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["one", "two"]);
  const forkId = (await skein(["fork", threadId, "--home", home])).stdout.trim();
  const { stdout } = await skein(["export", forkId, "--home", home]);
  assert.deepEqual(
    jsonLines(stdout)
      .filter((line) => line.type === "event_msg")
      .map((line) => (line.payload as { type: string; message?: string }).message)
      .filter((message) => message !== undefined),
    ["one", "ack: one", "two", "ack: two"],
  );
  const file = join(home, "copy.jsonl");
  const args = ["export", forkId, "--home", home, "--format", "paginated", "--output", file, "--json"];
  const { bytes } = await one(args);
  assert.equal((await readFile(file, "utf8")).length, bytes);
  const again = await skein(args);
  assert.deepEqual({ code: again.code, stdout: again.stdout }, { code: 1, stdout: "" });
  assert.match(again.stderr, /it exists already/);
  const shown = await skein(["show", file]);
  assert.match(shown.stdout, /> two \(user message 1\)/);
});

test("verify names a fault, and repair mends it and keeps the original", async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["one"]);
  assert.equal((await skein(["verify", "--home", home])).code, 0);
  const { thread } = jsonLines((await skein(["show", threadId, "--home", home, "--json"])).stdout)[0] as {
    thread: { rolloutPath: string };
  };
  const before = await readFile(thread.rolloutPath, "utf8");
  await appendFile(thread.rolloutPath, '{"timestamp":"2026');

  const verified = await skein(["verify", "--home", home]);
  assert.equal(verified.code, 1);
  assert.match(verified.stdout, new RegExp(`^torn {2}sessions/.*${threadId}\\.jsonl at byte ${before.length}: `));
  const report = JSON.parse((await skein(["verify", "--home", home, "--json"])).stdout);
  assert.equal(report.faults[0].kind, "torn");

  const repaired = await skein(["repair", "--home", home]);
  assert.deepEqual([repaired.code, repaired.stderr], [0, ""]);
  assert.match(repaired.stdout, /^mended {2}torn /);
  assert.equal(await readFile(thread.rolloutPath, "utf8"), before);
  assert.equal(await readFile(`${thread.rolloutPath}.orig`, "utf8"), `${before}{"timestamp":"2026`);
  assert.equal((await skein(["verify", "--home", home])).code, 0);
});

test("what is not there or malformed is told with its code", async (t) => {
  const home = await tempFolder(t);
  for (const command of ["show", "fork", "export", "archive"]) {
    const missing = await skein([command, MISSING, "--home", home]);
    assert.deepEqual([missing.code, missing.stdout], [1, ""], command);
    assert.match(missing.stderr, /^error: .*\(rollout_not_found\)\n$/);
    const malformed = await skein([command, "nope", "--home", home]);
    assert.deepEqual([malformed.code, malformed.stdout], [1, ""], command);
    assert.match(malformed.stderr, /^error: .*no thread has the id or the name `nope`.*\(rollout_not_found\)\n$/);
  }
  const file = join(home, "empty.jsonl");
  await writeFile(file, "");
  const corrupt = await skein(["show", file, "--home", home]);
  assert.equal(corrupt.code, 1);
  assert.match(corrupt.stderr, /^error: .*\(rollout_corrupt\)\n$/);
});
