/** A command's output is whole though its first process ends before those that write for it: by every way to run one. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { call } from "../../../src/model/script.ts";
import { loadPty } from "../../../src/process/pty-process.ts";
import type { ThreadConfig } from "../../../src/protocol/thread-config.ts";
import { serve } from "../../app-server/test-client.ts";
import { gone } from "./processes.ts";
import { bench, folder, nextOf } from "./tool-turn.ts";

/** The shell ends at once; what goes through the pipe, and what was sent to the background, comes later. */
const LATE = "(sleep 0.3; echo late) & exec > >(sleep 0.2; tee log) 2>&1; echo one; exit 3";
const SEEN = /(?=[\s\S]*one\r?\n)(?=[\s\S]*late\r?\n)/;

const sandbox = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-net", "true"]).status !== 0;
const noPty = await loadPty().then(
  () => false,
  () => true,
);

const TOOLS: [string, boolean, string, object, ThreadConfig][] = [
  ["shell_command", false, "command", {}, {}],
  ["shell_command in a sandbox", sandbox, "command", {}, { sandboxMode: "workspace-write" }],
  ["exec_command", false, "cmd", { yield_time_ms: 20_000 }, { builtInTools: ["unified_exec"] }],
  [
    "exec_command in a terminal",
    noPty,
    "cmd",
    { yield_time_ms: 20_000, tty: true },
    { builtInTools: ["unified_exec"] },
  ],
  [
    "exec_command in a sandboxed terminal",
    sandbox || noPty,
    "cmd",
    { yield_time_ms: 20_000, tty: true },
    { builtInTools: ["unified_exec"], sandboxMode: "workspace-write" },
  ],
];

for (const [name, skip, parameter, args, config] of TOOLS) {
  test(`${name} waits for whoever still writes`, { skip }, async (t) => {
    const play = [call(name.split(" ")[0] ?? "", { [parameter]: LATE, login: false, ...args })];
    const { thread, outputs, ofType, cwd } = await bench(t, [play, "done"], config);
    await thread.run("go");
    assert.match(outputs()[0] ?? "", SEEN);
    assert.match(outputs()[0] ?? "", /code:? 3/);
    const [end] = ofType("exec_command_end");
    assert.match(end?.aggregated_output ?? "", SEEN);
    assert.equal(end?.exit_code, 3);
    assert.equal(await readFile(join(cwd, "log"), "utf8"), "one\n");
  });
}

test("the user's own command waits for whoever still writes", async (t) => {
  const { thread, ofType } = await bench(t, []);
  const ended = nextOf(thread, "task_complete");
  await thread.submit({ type: "run_user_shell_command", command: LATE });
  await ended;
  assert.match(ofType("exec_command_end")[0]?.aggregated_output ?? "", SEEN);
});

for (const [name, skip, params] of [
  ["command/exec", false, {}],
  ["command/exec in a terminal", noPty, { tty: true, processId: "p", streamStdoutStderr: true }],
] as const) {
  test(`${name} waits for whoever still writes`, { skip }, async (t) => {
    const cwd = await folder(t);
    await using served = await serve({
      manager: { config: { cwd, sandboxMode: "danger-full-access" } },
      server: { cwd },
    });
    const answer = await served.client.request("command/exec", { command: ["/bin/bash", "-c", LATE], ...params });
    const deltas = served.client.log.filter(({ method }) => method === "command/exec/outputDelta");
    const told = deltas.map(({ params }) => Buffer.from(params.deltaBase64, "base64").toString()).join("");
    assert.match(told + answer.stdout, SEEN);
    assert.equal(answer.exitCode, 3);
  });
}

test("whoever writes on for ever is ended soon, and an interrupt ends the wait at once", async (t) => {
  const forEver = (then: string) =>
    call("shell_command", { command: `(while sleep 0.01; do echo x; done) & echo $! > pid; ${then}`, login: false });
  const { thread, outputs, cwd, ofType } = await bench(t, [[forEver("exit 0")], "done", [forEver("exit 0")], "never"]);
  await thread.run("go", { deadlineMs: 20_000 });
  assert.match(outputs()[0] ?? "", /Exit code: 0[\s\S]*x\nx\n/);
  assert.ok(await gone([Number(await readFile(join(cwd, "pid"), "utf8"))]));
  const delta = nextOf(thread, "exec_command_output_delta");
  const turn = thread.run("again").catch((error: unknown) => error);
  await delta;
  await thread.interrupt();
  await turn;
  assert.equal(ofType("turn_aborted").length, 1);
  assert.ok(await gone([Number(await readFile(join(cwd, "pid"), "utf8"))]));
});

for (const signal of ["SIGHUP", "SIGTERM", "SIGINT", "SIGUSR2", "SIGALRM", "SIGXCPU"] as const) {
  test(`${signal} that nobody handles ends the commands, and then the process as ever`, async (t) => {
    const cwd = await folder(t);
    const module = new URL("../../../src/process/process-group.ts", import.meta.url).href;
    const script = `
      const { ProcessGroup } = await import(${JSON.stringify(module)});
      const clock = { now: Date.now, setTimeout, clearTimeout };
      const argv = ["/bin/sh", "-c", "trap '' HUP TERM INT; sleep 1000 & echo $$ $! > pids; echo up; wait"];
      new ProcessGroup({ argv, cwd: ${JSON.stringify(cwd)}, env: process.env }, { clock }).child.stdout.pipe(process.stdout);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill(signal);
    const [code, by] = await once(child, "exit");
    assert.deepEqual([code, by], [null, signal]);
    assert.ok(existsSync(join(cwd, "pids")));
    assert.ok(await gone((await readFile(join(cwd, "pids"), "utf8")).trim().split(" ").map(Number)));
  });
}
