/** command/exec: real programs, run by a client beside all threads. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { CommandRun } from "../../src/app-server/v2/command-exec/run.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { loadPty } from "../../src/process/pty-process.ts";
import { gone } from "../turn/tools/processes.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Json, serve, type TestClient } from "./test-client.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

async function bench(
  t: TestContext,
  sandboxMode: "danger-full-access" | "read-only" = "danger-full-access",
  more: NodeJS.ProcessEnv = {},
) {
  const cwd = await realpath(await folder(t));
  const environment = { PATH: process.env.PATH, HOME: "/home/of/it", API_TOKEN: "secret", ...more };
  const served = await serve({ manager: { config: { cwd, sandboxMode }, environment }, server: { cwd } });
  t.after(() => served[Symbol.asyncDispose]());
  return { ...served, cwd, exec: (params: Json) => served.client.request("command/exec", params) };
}

const sh = (script: string): { command: string[] } => ({ command: ["/bin/sh", "-c", script] });

/** What was told of a command: the streams' texts, and whether a cap was reached at the end of each. */
function told(client: TestClient, processId: string) {
  const all = { stdout: "", stderr: "", capped: [] as string[] };
  for (const { method, params } of client.log) {
    if (method !== "command/exec/outputDelta" || params.processId !== processId) continue;
    const stream: "stdout" | "stderr" = params.stream;
    all[stream] += Buffer.from(params.deltaBase64, "base64").toString();
    if (params.capReached) all.capped.push(stream);
  }
  return all;
}

test("a command gives its exit code and both streams, in the server's folder and with the agents' variables", async (t) => {
  const { exec, cwd } = await bench(t);
  assert.deepEqual(await exec(sh("echo out; echo err >&2; exit 3")), { exitCode: 3, stdout: "out\n", stderr: "err\n" });
  assert.deepEqual(await exec({ command: ["pwd"] }), { exitCode: 0, stdout: `${cwd}\n`, stderr: "" });
  assert.deepEqual(await exec({ command: ["pwd"], cwd: "/" }), { exitCode: 0, stdout: "/\n", stderr: "" });
  const variables = sh('echo "$HOME-$API_TOKEN-$ADDED"');
  assert.equal((await exec(variables)).stdout, "/home/of/it--\n");
  const env = { HOME: null, API_TOKEN: "given", ADDED: "x" };
  assert.equal((await exec({ ...variables, env })).stdout, "-given-x\n");
  assert.deepEqual(await exec({ command: ["cat"] }), { exitCode: 0, stdout: "", stderr: "" });
  assert.equal((await exec(sh("kill -9 $$"))).exitCode, 137);
});

const REFUSED: [Json, number, string][] = [
  [{ command: [] }, -32600, "command must not be empty"],
  [{ command: [""] }, -32603, "failed to spawn command: missing program for pipe spawn"],
  [{ command: ["/nope"] }, -32603, "failed to spawn command: No such file or directory (os error 2)"],
  [{ command: ["pwd"], cwd: "/nope" }, -32603, "failed to spawn command: No such file or directory (os error 2)"],
  [{ command: ["pwd\0"] }, -32603, "failed to spawn command: nul byte found in provided data"],
  [{ timeoutMs: -1 }, -32602, "command/exec timeoutMs must be non-negative, got -1"],
  [{ timeoutMs: 1, disableTimeout: true }, -32602, "command/exec cannot set both timeoutMs and disableTimeout"],
  [
    { outputBytesCap: 1, disableOutputCap: true },
    -32602,
    "command/exec cannot set both outputBytesCap and disableOutputCap",
  ],
  [{ streamStdin: true }, -32600, "command/exec tty or streaming requires a client-supplied processId"],
  [{ streamStdoutStderr: true }, -32600, "command/exec tty or streaming requires a client-supplied processId"],
  [{ tty: true }, -32600, "command/exec tty or streaming requires a client-supplied processId"],
  [{ size: { rows: 1, cols: 1 } }, -32602, "command/exec size requires tty: true"],
  [
    { tty: true, processId: "p", size: { rows: 0, cols: 1 } },
    -32602,
    "command/exec size rows and cols must be greater than 0",
  ],
  [
    { permissionProfile: ":read-only", sandboxPolicy: { type: "readOnly" } },
    -32600,
    "`permissionProfile` cannot be combined with `sandboxPolicy`",
  ],
  [{ streamStdin: null }, -32600, "Invalid request: invalid type: null, expected a boolean"],
];

test("what cannot be run is refused in Codex's words", async (t) => {
  const { client } = await bench(t);
  for (const [params, code, message] of REFUSED) {
    const failure = await client.failure("command/exec", { command: ["true"], ...params });
    assert.deepEqual([failure.code, failure.message], [code, message], JSON.stringify(params));
  }
  const missing = await client.failure("command/exec", {});
  assert.equal(missing.message, "Invalid request: missing field `command`");
});

test("at its timeout a command ends with 124, and what it wrote until then", async (t) => {
  const { exec } = await bench(t);
  assert.deepEqual(await exec({ command: ["sleep", "30"], timeoutMs: 0 }), { exitCode: 124, stdout: "", stderr: "" });
  assert.deepEqual(await exec({ ...sh("echo early; exec sleep 30"), timeoutMs: 300 }), {
    exitCode: 124,
    stdout: "early\n",
    stderr: "",
  });
});

test("input is written while the command runs, also before it has started, until it is closed", async (t) => {
  const { client, exec } = await bench(t);
  const answer = exec({ command: ["cat"], processId: "p", streamStdin: true, streamStdoutStderr: true });
  const write = (params: Json) => client.request("command/exec/write", { processId: "p", ...params });
  const refused = async (params: Json) => (await client.failure("command/exec/write", params)).message;
  assert.deepEqual(await write({ deltaBase64: base64("one ") }), {});
  const duplicate = await client.failure("command/exec", { command: ["true"], processId: "p" });
  assert.equal(duplicate.message, 'duplicate active command/exec process id: "p"');
  const [closed, late] = await Promise.all([
    write({ deltaBase64: base64("two"), closeStdin: true }),
    refused({ processId: "p", deltaBase64: base64("three") }),
  ]);
  assert.deepEqual([closed, late], [{}, "stdin is already closed"]);
  assert.deepEqual(await answer, { exitCode: 0, stdout: "", stderr: "" });
  assert.deepEqual(told(client, "p"), { stdout: "one two", stderr: "", capped: [] });
  assert.equal(await refused({ processId: "p", closeStdin: true }), 'no active command/exec for process id "p"');
  assert.equal(await refused({ processId: "p" }), "command/exec/write requires deltaBase64 or closeStdin");
  assert.equal(
    await refused({ processId: "p", deltaBase64: "!!" }),
    "invalid deltaBase64: Invalid symbol 33, offset 0.",
  );
  assert.equal(await refused({ processId: "p", deltaBase64: "aGk" }), "invalid deltaBase64: Invalid padding");
});

test("input piles up nowhere: a write is answered once the command has read", async (t) => {
  const { client, exec } = await bench(t);
  const answer = exec({ ...sh("sleep 0.05; wc -c"), processId: "p", streamStdin: true });
  const deltaBase64 = Buffer.alloc(1_000_000, 120).toString("base64");
  await client.request("command/exec/write", { processId: "p", deltaBase64 });
  await client.request("command/exec/write", { processId: "p", deltaBase64, closeStdin: true });
  assert.equal((await answer).stdout.trim(), "2000000");
});

test("a command without streamed input takes none, and one without a terminal has no size", async (t) => {
  const { client, exec } = await bench(t);
  const answer = exec({ command: ["sleep", "30"], processId: "p" });
  const write = await client.failure("command/exec/write", { processId: "p", deltaBase64: base64("x") });
  assert.equal(write.message, "stdin streaming is not enabled for this command/exec");
  const size = { rows: 2, cols: 2 };
  const resize = await client.failure("command/exec/resize", { processId: "p", size });
  assert.equal(resize.message, "failed to resize PTY: process is not attached to a PTY");
  assert.deepEqual(await client.request("command/exec/terminate", { processId: "p" }), {});
  assert.deepEqual(await answer, { exitCode: 137, stdout: "", stderr: "" });
  const again = await client.failure("command/exec/terminate", { processId: "p" });
  assert.equal(again.message, 'no active command/exec for process id "p"');
});

test("of each stream no more than the cap is kept or told, and the command goes on", async (t) => {
  const { client, exec } = await bench(t);
  const script = sh("printf 12345678; printf abc; echo e >&2; exit 4");
  assert.deepEqual(await exec({ ...script, outputBytesCap: 5 }), { exitCode: 4, stdout: "12345", stderr: "e\n" });
  assert.deepEqual(await exec({ ...script, outputBytesCap: 0 }), { exitCode: 4, stdout: "", stderr: "" });
  const answer = await exec({ ...script, outputBytesCap: 5, processId: "s", streamStdoutStderr: true });
  assert.deepEqual(answer, { exitCode: 4, stdout: "", stderr: "" });
  assert.deepEqual(told(client, "s"), { stdout: "12345", stderr: "e\n", capped: ["stdout"] });
  const long = sh("head -c 3000000 /dev/zero | tr '\\0' x");
  assert.equal((await exec(long)).stdout.length, 1024 * 1024);
  assert.equal((await exec({ ...long, disableOutputCap: true })).stdout.length, 3_000_000);
});

test("a client that reads slowly holds up the command", async () => {
  const gate = Promise.withResolvers<void>();
  let isCongested = true;
  let bytes = 0;
  let pieces = 0;
  const first = Promise.withResolvers<void>();
  const run = new CommandRun({
    clock: systemClock,
    stdin: "ignore",
    timeoutMs: undefined,
    capBytes: Number.POSITIVE_INFINITY,
    congestion: () => (isCongested ? gate.promise : undefined),
    signal: new AbortController().signal,
    failure: "failed",
    called: "command",
    onOutput: (_, chunk) => {
      bytes += chunk.length;
      pieces += 1;
      first.resolve();
    },
  });
  const plan = { argv: ["head", "-c", "2000000", "/dev/zero"], cwd: "/", env: { PATH: process.env.PATH ?? "" } };
  const answer = run.run(Promise.resolve(plan));
  await first.promise;
  for (let turns = 0; turns < 100; turns += 1) await turn();
  assert.equal(pieces, 1);
  isCongested = false;
  gate.resolve();
  await answer;
  assert.equal(bytes, 2_000_000);
});

test("what a client runs ends when it leaves, and its ids are its own", async (t) => {
  const { connect, client, exec } = await bench(t);
  const other = connect();
  await other.initialize();
  const pids = async (of: TestClient) => {
    const answer = of.request("command/exec", {
      ...sh("sleep 77 & echo $$ $!; exec sleep 77"),
      processId: "same",
      streamStdoutStderr: true,
      disableTimeout: true,
    });
    await of.next("command/exec/outputDelta");
    return { answer, pids: told(of, "same").stdout.trim().split(" ").map(Number) };
  };
  const [mine, theirs] = await Promise.all([pids(client), pids(other)]);
  other.close();
  assert.equal(await gone(theirs.pids), true);
  assert.deepEqual(await exec({ command: ["kill", "-0", ...mine.pids.map(String)] }), {
    exitCode: 0,
    stdout: "",
    stderr: "",
  });
  await client.request("command/exec/terminate", { processId: "same" });
  assert.equal((await mine.answer).exitCode, 137);
  assert.equal(await gone(mine.pids), true);
});

const works = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-net", "true"]).status === 0;
const sandbox = { skip: works ? false : "bubblewrap is not installed, or may not make namespaces here" };

test("a command runs under the request's policy, else under the config's", sandbox, async (t) => {
  const { exec, cwd } = await bench(t, "read-only");
  const file = join(cwd, "file");
  const write = { command: ["touch", file] };
  assert.notEqual((await exec(write)).exitCode, 0);
  assert.notEqual((await exec({ ...write, sandboxPolicy: { type: "readOnly" } })).exitCode, 0);
  assert.equal((await exec({ ...write, sandboxPolicy: { type: "workspaceWrite" } })).exitCode, 0);
  const outside = { type: "workspaceWrite", excludeSlashTmp: true, excludeTmpdirEnvVar: true };
  assert.notEqual((await exec({ ...write, cwd: "/usr", sandboxPolicy: outside })).exitCode, 0);
  assert.equal((await exec({ ...write, sandboxPolicy: { type: "dangerFullAccess" } })).exitCode, 0);
});

test("without bubblewrap nothing runs that wants a sandbox", async (t) => {
  const { client } = await bench(t, "read-only", { SKEIN_BWRAP: "/nowhere/bwrap" });
  const failure = await client.failure("command/exec", { command: ["true"], env: { SKEIN_BWRAP: "/usr/bin/bwrap" } });
  const why = "there is no sandbox here: bubblewrap (`bwrap`): `bwrap` is not installed (/nowhere/bwrap)";
  assert.deepEqual(
    [failure.code, failure.message],
    [-32603, `failed to spawn command: the sandbox policy is read-only, and ${why}`],
  );
});

test("a permission profile stands for its policy", sandbox, async (t) => {
  const { exec, client, cwd } = await bench(t, "read-only");
  const write = { command: ["touch", join(cwd, "file")] };
  assert.notEqual((await exec({ ...write, permissionProfile: ":read-only" })).exitCode, 0);
  assert.equal((await exec({ ...write, permissionProfile: ":workspace" })).exitCode, 0);
  const failure = await client.failure("command/exec", { ...write, permissionProfile: ":nope" });
  assert.equal(
    failure.message,
    "invalid permission profile: default_permissions refers to unknown built-in profile `:nope`",
  );
});

const hasPty = await loadPty().then(
  () => true,
  () => false,
);
const terminal = { skip: hasPty ? false : "the package @lydell/node-pty is not installed" };

test("a terminal: its size, what is typed into it, the end of its input", terminal, async (t) => {
  const { client, exec } = await bench(t);
  const type = (text: string, more: Json = {}) =>
    client.request("command/exec/write", { processId: "t", deltaBase64: base64(text), ...more });
  const script = "stty -echo; stty size; read x; echo got $x; stty size; cat; exit 5";
  const answer = exec({ ...sh(script), processId: "t", tty: true, size: { rows: 33, cols: 99 } });
  await client.next("command/exec/outputDelta");
  await client.request("command/exec/resize", { processId: "t", size: { rows: 10, cols: 20 } });
  await type("ü\n");
  await client.find(() => told(client, "t").stdout.includes("10 20"));
  await type("last", { closeStdin: true });
  assert.deepEqual(await answer, { exitCode: 5, stdout: "", stderr: "" });
  assert.deepEqual(told(client, "t"), { stdout: "33 99\r\ngot ü\r\n10 20\r\nlast\r\n", stderr: "", capped: [] });
});

test("a terminal's program is ended, and one that is not there is told of", terminal, async (t) => {
  const { client, exec } = await bench(t);
  const tty = (command: string[], more: Json = {}) => ({ command, processId: "t", tty: true, ...more });
  const answer = exec(tty(["sleep", "77"]));
  await client.request("command/exec/terminate", { processId: "t" });
  assert.equal((await answer).exitCode, 137);
  assert.equal((await exec(tty(["sleep", "77"], { timeoutMs: 0 }))).exitCode, 124);
  for (const [params, text] of [
    [tty(["/nope"]), "No such file or directory (os error 2)"],
    [tty(["nope-of-path"]), "No such file or directory (os error 2)"],
    [tty(["true"], { cwd: "/nope" }), "No such file or directory (os error 2)"],
  ] as const) {
    const { code, message } = await client.failure("command/exec", params);
    assert.deepEqual([code, message], [-32603, `failed to spawn command: ${text}`]);
  }
});
