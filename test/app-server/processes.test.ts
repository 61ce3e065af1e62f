/** process/*: programs of a client's own, whose output and end are told after the answer; held against stock 0.171's answers. */
import assert from "node:assert/strict";
import { realpath } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { loadPty } from "../../src/process/pty-process.ts";
import { gone } from "../turn/tools/processes.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Json, serve, type TestClient } from "./test-client.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const sh = (script: string): { command: string[] } => ({ command: ["/bin/sh", "-c", script] });

async function bench(t: TestContext) {
  const cwd = await realpath(await folder(t));
  const environment = { PATH: process.env.PATH, HOME: "/home/of/it", API_TOKEN: "kept" };
  const served = await serve({ manager: { config: { cwd, sandboxMode: "read-only" }, environment }, server: { cwd } });
  t.after(() => served[Symbol.asyncDispose]());
  const spawn = (processHandle: string, params: Json, client = served.client) =>
    client.request("process/spawn", { processHandle, cwd, ...params });
  return { ...served, cwd, spawn };
}

const end = async (client: TestClient, processHandle: string): Promise<Json> => {
  const { params } = await client.next("process/exited", (params) => params.processHandle === processHandle);
  const { processHandle: _, outputDrainTimedOut, ...rest } = params;
  assert.equal(outputDrainTimedOut, false);
  return rest;
};

const exited = (exitCode: number, stdout = "", stderr = "", full: Json = {}): Json => ({
  exitCode,
  stdout,
  stderr,
  stdoutCapReached: full.stdout ?? false,
  stderrCapReached: full.stderr ?? false,
});

const deltas = (client: TestClient, handle: string, stream: "stdout" | "stderr") =>
  client.log
    .filter(({ method, params }) => method === "process/outputDelta" && params.processHandle === handle)
    .filter(({ params }) => params.stream === stream)
    .map(({ params }) => Buffer.from(params.deltaBase64, "base64").toString());

test("a process answers when it runs, then tells its end with what it wrote; its handle can be used again", async (t) => {
  const { client, spawn } = await bench(t);
  for (const word of ["one", "two"]) {
    assert.deepEqual(await spawn("a", sh(`echo ${word}; echo err >&2; exit 3`)), {});
    assert.deepEqual(await end(client, "a"), exited(3, `${word}\n`, "err\n"));
  }
  const methods = client.log.flatMap(({ id, method }) => (id === undefined ? [method] : ["answer"]));
  assert.deepEqual(methods.slice(-4), ["answer", "process/exited", "answer", "process/exited"]);
  await spawn("v", { ...sh('echo "$HOME-$API_TOKEN-$ADDED"; pwd'), env: { HOME: null, ADDED: "x" }, cwd: "/" });
  assert.deepEqual(await end(client, "v"), exited(0, "-kept-x\n/\n"));
  await spawn("k", sh("kill -9 $$"));
  assert.deepEqual(await end(client, "k"), exited(137));
});

test("output that is told as it comes is not told again; caps hold for each stream, and null takes them away", async (t) => {
  const { client, spawn } = await bench(t);
  const both = sh("printf 0123456789; printf abc >&2");
  await spawn("s", { ...both, streamStdoutStderr: true, outputBytesCap: 4 });
  assert.deepEqual(await end(client, "s"), exited(0, "", "", { stdout: true }));
  assert.deepEqual([deltas(client, "s", "stdout"), deltas(client, "s", "stderr")], [["0123"], ["abc"]]);
  await spawn("b", { ...both, outputBytesCap: 3 });
  assert.deepEqual(await end(client, "b"), exited(0, "012", "abc", { stdout: true, stderr: true }));
  await spawn("z", { ...sh("printf 0"), outputBytesCap: 0 });
  assert.deepEqual(await end(client, "z"), exited(0, "", "", { stdout: true }));
  const large = { command: ["head", "-c", "1100000", "/dev/zero"] };
  await spawn("d", large);
  const { stdout, stdoutCapReached } = await end(client, "d");
  assert.deepEqual([stdout.length, stdoutCapReached], [1024 * 1024, true]);
  await spawn("n", { ...large, outputBytesCap: null });
  assert.equal((await end(client, "n")).stdout.length, 1_100_000);
});

test("input is written and closed; without streamStdin there is none", async (t) => {
  const { client, spawn } = await bench(t);
  const write = (processHandle: string, params: Json) =>
    client.request("process/writeStdin", { processHandle, ...params });
  await spawn("c", { command: ["cat"], streamStdin: true });
  assert.deepEqual(await write("c", { deltaBase64: base64("hi ") }), {});
  assert.deepEqual(await write("c", { deltaBase64: base64("there"), closeStdin: true }), {});
  assert.deepEqual(await end(client, "c"), exited(0, "hi there"));
  await spawn("n", { command: ["cat"] });
  assert.deepEqual(await end(client, "n"), exited(0));
});

test("a process is killed, ends at its time, and with its client", async (t) => {
  const { client, spawn, connect } = await bench(t);
  await spawn("k", { command: ["sleep", "77"] });
  assert.deepEqual(await client.request("process/kill", { processHandle: "k" }), {});
  assert.deepEqual(await end(client, "k"), exited(137));
  await spawn("t", { command: ["sleep", "77"], timeoutMs: 0 });
  assert.deepEqual(await end(client, "t"), exited(124));
  const other = connect();
  await other.initialize();
  for (const each of [client, other]) {
    await spawn("same", { ...sh("echo $$; exec sleep 77"), timeoutMs: null, streamStdoutStderr: true }, each);
    await each.find(() => deltas(each, "same", "stdout").length > 0);
  }
  const pids = deltas(other, "same", "stdout").map(Number);
  other.close();
  assert.equal(await gone(pids), true);
  await client.request("process/kill", { processHandle: "same" });
});

test("what stock Codex refuses, in its words", async (t) => {
  const { client, spawn } = await bench(t);
  await spawn("busy", { command: ["sleep", "77"] });
  const ok = { processHandle: "h", command: ["true"], cwd: "/" };
  const size = { rows: 1, cols: 1 };
  const cases: [string, Json, number, string][] = [
    ["process/spawn", { ...ok, processHandle: "busy" }, -32600, 'duplicate active process handle: "busy"'],
    ["process/spawn", { ...ok, command: [] }, -32600, "command must not be empty"],
    ["process/spawn", { ...ok, processHandle: "" }, -32600, "processHandle must not be empty"],
    [
      "process/spawn",
      { ...ok, cwd: "rel" },
      -32600,
      "Invalid request: AbsolutePathBuf deserialized without a base path",
    ],
    ["process/spawn", { ...ok, command: [""] }, -32603, "failed to spawn process: missing program for pipe spawn"],
    [
      "process/spawn",
      { ...ok, command: ["/nope"] },
      -32603,
      "failed to spawn process: No such file or directory (os error 2)",
    ],
    [
      "process/spawn",
      { ...ok, cwd: "/nope" },
      -32603,
      "failed to spawn process: No such file or directory (os error 2)",
    ],
    ["process/spawn", { ...ok, size }, -32602, "process/spawn size requires tty: true"],
    [
      "process/spawn",
      { ...ok, tty: true, size: { rows: 0, cols: 1 } },
      -32602,
      "process size rows and cols must be greater than 0",
    ],
    ["process/spawn", { ...ok, timeoutMs: -1 }, -32602, "process/spawn timeoutMs must be non-negative, got -1"],
    ["process/spawn", { ...ok, processHandle: undefined }, -32600, "Invalid request: missing field `processHandle`"],
    ["process/writeStdin", { processHandle: "busy" }, -32602, "process/writeStdin requires deltaBase64 or closeStdin"],
    [
      "process/writeStdin",
      { processHandle: "busy", deltaBase64: "?" },
      -32602,
      "invalid deltaBase64: Invalid symbol 63, offset 0.",
    ],
    [
      "process/writeStdin",
      { processHandle: "busy", deltaBase64: "aGk=" },
      -32600,
      "stdin streaming is not enabled for this process",
    ],
    [
      "process/resizePty",
      { processHandle: "busy", size },
      -32600,
      "failed to resize PTY: process is not attached to a PTY",
    ],
    [
      "process/resizePty",
      { processHandle: "busy", size: { rows: 1, cols: 0 } },
      -32602,
      "process size rows and cols must be greater than 0",
    ],
    ["process/kill", { processHandle: "h" }, -32600, 'no active process for process handle "h"'],
    [
      "process/writeStdin",
      { processHandle: "h", closeStdin: true },
      -32600,
      'no active process for process handle "h"',
    ],
    ["process/resizePty", { processHandle: "h", size }, -32600, 'no active process for process handle "h"'],
  ];
  for (const [method, params, code, text] of cases) {
    const failure = await client.failure(method, params);
    assert.deepEqual([failure.code, failure.message], [code, text], method);
  }
  await client.request("process/kill", { processHandle: "busy" });
  // One that could not be started has left its handle free, and has no end.
  await spawn("h", { command: ["true"] });
  assert.equal((await end(client, "h")).exitCode, 0);
  assert.equal(client.log.filter(({ method }) => method === "process/exited").length, 2);
});

const hasPty = await loadPty().then(
  () => true,
  () => false,
);

test("in a terminal, input and output are streamed", { skip: !hasPty }, async (t) => {
  const { client, spawn } = await bench(t);
  await spawn("t", {
    ...sh("stty -echo; stty size; read x; echo got $x; stty size"),
    tty: true,
    size: { rows: 5, cols: 33 },
  });
  const seen = () => deltas(client, "t", "stdout").join("");
  await client.find(() => seen().includes("5 33"));
  await client.request("process/resizePty", { processHandle: "t", size: { rows: 9, cols: 44 } });
  await client.request("process/writeStdin", { processHandle: "t", deltaBase64: base64("hi\n") });
  assert.deepEqual(await end(client, "t"), exited(0));
  assert.equal(seen(), "5 33\r\ngot hi\r\n9 44\r\n");
});
