import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { buildProgram } from "../../src/cli/program.ts";
import type { Io } from "../../src/cli/terminal/io.ts";
import { CODEX_VERSION, VERSION } from "../../src/version.ts";
import { MAIN, printed, skein, start } from "./skein.ts";
import { storedThread, tempFolder } from "./temp-home.ts";

const COMMANDS = [
  "demo",
  "exec",
  "resume",
  "review",
  "app-server",
  "login",
  "logout",
  "list",
  "show",
  "fork",
  "archive",
  "unarchive",
  "delete",
  "cluster",
  "copy",
  "export",
  "verify",
  "repair",
  "recover",
  "sandbox",
  "load",
  "studio",
  "tree",
  "top",
  "worker",
];

/** The papers that a user of the command line reads. */
const PAPERS = ["README.md", "docs/sandbox.md", "docs/debugging.md", "examples/README.md"];

test("the program's own commands are those that are tested here, and each is in a paper", async () => {
  const own = buildProgram(process as Io).commands.map((command) => command.name());
  assert.deepEqual(own.toSorted(), COMMANDS.toSorted());
  const root = join(import.meta.dirname, "../..");
  const papers = PAPERS.map((name) => readFileSync(join(root, name), "utf8")).join("\n");
  const lost = own.filter((name) => !new RegExp(`skein ${name}\\b`).test(papers));
  assert.deepEqual(lost, [], "say in README.md what the command is for");
  const named = [...papers.matchAll(/(?:`|^|; |\$\()skein ([a-z][a-z-]*)\b/gm)].map(([, name = ""]) => name);
  assert.deepEqual(
    named.filter((name) => !own.includes(name)),
    [],
    "README.md names a command that there is not",
  );
});

test("the program's help names every command", async () => {
  const { code, stdout, stderr } = await skein(["--help"]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  for (const command of COMMANDS) assert.match(stdout, new RegExp(`^  ${command}\\b`, "m"));
  assert.deepEqual(await skein([]), { code: 0, stdout, stderr: "" });
});

for (const command of COMMANDS) {
  test(`${command} --help shows usage, options and examples`, async () => {
    const { code, stdout, stderr } = await skein([command, "--help"]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.match(stdout, new RegExp(`^Usage: skein ${command}(\\|e)? `));
    assert.match(stdout, /--home <dir>/);
    assert.match(stdout, /Examples:\n {2}skein /);
    const { stdout: bySubcommand } = await skein(["help", command]);
    assert.equal(bySubcommand, stdout);
  });
}

test("the version is Codex's, as clients read it, and the package's", async () => {
  const stdout = `codex-cli ${CODEX_VERSION} (skein ${VERSION})\n`;
  for (const flag of ["--version", "-V"]) assert.deepEqual(await skein([flag]), { code: 0, stdout, stderr: "" });
  assert.match(stdout, /^codex-cli 0\.[1-9]\d\d\.\d+\b/);
});

const MISTAKES: readonly (readonly [args: string[], message: RegExp])[] = [
  [["nope"], /^error: unknown command 'nope'/],
  [["lsit"], /Did you mean list\?/],
  [["list", "--nope"], /^error: unknown option '--nope'/],
  [["list", "--limit", "0"], /whole number from 1 to 100/],
  [["list", "--sort", "size"], /Allowed choices are created, updated/],
  [["show"], /^error: name a thread, or say --last/],
  [["archive"], /^error: name a thread, or say --last/],
  [["show", "--last", "0"], /whole number from 1/],
  [["review"], /say one of --uncommitted, --base/],
  [["login"], /--with-api-key/],
  [["exec", "resume", "--last", "a", "b"], /no thread is named/],
  [["fork", "x", "--before-user-message", "-1"], /whole number from 0/],
  [["fork", "x", "--before-turn", "a", "--through-turn", "b"], /cannot be used with/],
  [["exec", "two", "words"], /^error: the prompt must be one argument: put it in quotes/],
  [["exec", "resume"], /^error: resume: the id of a thread is missing/],
  [["exec", ""], /^error: the prompt is empty/],
  [["exec", "hi", "--sandbox", "none"], /Allowed choices are read-only/],
];

for (const [args, message] of MISTAKES) {
  test(`a usage error exits with 2: skein ${args.join(" ")}`, async () => {
    const { code, stdout, stderr } = await skein(args);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
    assert.match(stderr, message);
  });
}

test("an old Node is told what is needed, in one line", async () => {
  const pretend = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.12.0' } })";
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(pretend)}` };
  const { code, stdout, stderr } = await skein(["demo"], { env });
  assert.deepEqual(
    { code, stdout, stderr },
    { code: 1, stdout: "", stderr: "error: skein needs Node 22.13 or newer; this is Node 22.12.0\n" },
  );
});

for (const args of [
  ["--help"],
  ["list"],
  ["show", "--last", "--all"],
  ["verify", "--json"],
  ["exec", "hi"],
  ["demo"],
]) {
  test(`an output that can't be written is an error in one line, with nothing left open: skein ${args.join(" ")}`, async (t) => {
    const home = await tempFolder(t);
    await storedThread(home, ["first"]);
    const full = openSync("/dev/full", "w");
    t.after(() => closeSync(full));
    const env = { PATH: process.env.PATH ?? "", SKEIN_HOME: home };
    const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ["ignore", full, "pipe"] });
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    const [code] = await once(child, "close");
    assert.equal(code, 1);
    assert.equal(
      said.match(/^error: .*$/gm)?.join(),
      "error: the output can't be written: ENOSPC: no space left on device, write",
    );
    assert.doesNotMatch(said, /\n {4}at /);
    assert.equal((await skein(["verify", "--home", home])).code, 0);
    assert.deepEqual(
      (await readdir(join(home, "leases"))).filter((name) => name !== "owners"),
      [],
    );
  });
}

test("a home that is no folder is refused by every command, and left as it is", async (t) => {
  const file = join(await tempFolder(t), "file");
  await writeFile(file, "mine", { mode: 0o644 });
  const commands = [
    ["list"],
    ["verify"],
    ["repair"],
    ["tree"],
    ["recover"],
    ["logout"],
    ["app-server"],
    ["exec", "hi"],
    ["show", "x"],
  ];
  for (const command of commands) {
    const { code, stdout, stderr } = await skein([...command, "--home", file]);
    assert.deepEqual([code, stdout], [2, ""], command.join(" "));
    assert.match(stderr, /^error: the home has to be a folder, and \S+ is none; see --home\n/);
  }
  assert.equal((await stat(file)).mode & 0o777, 0o644);
  assert.equal(await readFile(file, "utf8"), "mine");
});

test("a server whose log nobody reads works on", async (t) => {
  const home = await tempFolder(t);
  const child = start(["app-server", "--home", home, "--log-level", "debug"]);
  child.stderr.destroy();
  const ask = async (id: number, method: string, params: object) => {
    const answer = printed(child, `"id":${id}`);
    child.stdin.write(`${JSON.stringify({ id, method, params })}\n`);
    return answer;
  };
  await ask(1, "initialize", { clientInfo: { name: "test", version: "1" } });
  for (const id of [2, 3]) assert.match(await ask(id, "thread/start", { cwd: home }), /"thread":/);
  child.stdin.end();
  assert.deepEqual(await once(child, "close"), [0, null]);
});
