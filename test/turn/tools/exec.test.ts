/** exec_command and write_stdin against real processes. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ManualClock } from "../../../src/kernel/clock.ts";
import { call } from "../../../src/model/script.ts";
import { answered, called, DEAF, EXEC, exec, look, pidsOf, plays, steady } from "./exec-plays.ts";
import { gone, isRunning } from "./processes.ts";
import { answering, bench, kinds, nextOf } from "./tool-turn.ts";

test("a command that ends in time: its output and the events around it (0.169 t169_tool)", async (t) => {
  const { thread, events, outputs, ofType, cwd } = await bench(
    t,
    [[call("exec_command", { cmd: "echo hi from exec" }, { callId: "call_e1" })], "ran"],
    EXEC,
  );
  await thread.run("run");
  assert.deepEqual(outputs().map(steady), [answered("Process exited with code 0", 4, "hi from exec\n")]);
  assert.deepEqual(
    kinds(events).filter((kind) => /^(?:exec_|terminal_)/.test(kind)),
    ["exec_command_begin", "exec_command_output_delta", "exec_command_end"],
  );
  const [begin] = ofType("exec_command_begin");
  const about = {
    call_id: "call_e1",
    process_id: begin?.process_id,
    turn_id: begin?.turn_id,
    command: ["/bin/bash", "-lc", "echo hi from exec"],
    cwd,
    parsed_cmd: [{ type: "unknown", cmd: "echo hi from exec" }],
    source: "unified_exec_startup",
  };
  assert.match(begin?.process_id ?? "", /^\d{4,5}$/);
  assert.deepEqual(begin, { type: "exec_command_begin", ...about });
  const [end] = ofType("exec_command_end");
  assert.deepEqual(end, {
    type: "exec_command_end",
    ...about,
    stdout: "hi from exec\n",
    stderr: "",
    aggregated_output: "hi from exec\n",
    exit_code: 0,
    duration: end?.duration,
    formatted_output: "hi from exec\n",
  });
  assert.deepEqual(thread.terminals.list(), []);
});

test("a command that goes on yields, is looked at until it ends, and gives each piece once", async (t) => {
  const { thread, outputs, ofType, cwd } = await bench(
    t,
    plays(
      [exec("mkfifo gate; echo start; read x < gate; echo got $x; exit 3", { yield_time_ms: 250 })],
      (session) => look(session),
      (session) => look(session),
      "done",
    ),
    EXEC,
  );
  void called(thread, "write_stdin").then(() => writeFile(join(cwd, "gate"), "word\n"));
  const yielded = nextOf(thread, "exec_command_output_delta");
  const turn = thread.run("go");
  await yielded;
  const [running] = thread.terminals.list();
  assert.deepEqual(running, {
    callId: running?.callId,
    processId: ofType("exec_command_begin")[0]?.process_id,
    command: "mkfifo gate; echo start; read x < gate; echo got $x; exit 3",
    cwd,
  });
  await turn;
  const [first, second, third] = outputs().map(steady);
  assert.equal(first, answered("Process running with session ID S", 2, "start\n"));
  assert.equal(second, answered("Process exited with code 3", 3, "got word\n"));
  assert.match(third ?? "", /^write_stdin failed: Unknown process id \d+$/);
  assert.deepEqual(
    ofType("terminal_interaction").map(({ stdin }) => stdin),
    [""],
  );
  assert.equal(ofType("exec_command_end")[0]?.aggregated_output, "start\ngot word\n");
  assert.equal(ofType("exec_command_end")[0]?.exit_code, 3);
});

test("a command may outlive its turn: its end is told then, and can still be read", async (t) => {
  const { thread, outputs, events, ofType, cwd } = await bench(
    t,
    plays(
      [exec("mkfifo gate; echo first; read x < gate; echo last; exit 5", { yield_time_ms: 250 })],
      "turn over",
      (session) => look(session),
      "done",
    ),
    EXEC,
  );
  await thread.run("go");
  assert.equal(thread.terminals.list().length, 1);
  const ended = nextOf(thread, "exec_command_end");
  await writeFile(join(cwd, "gate"), "\n");
  await ended;
  const told = kinds(events);
  assert.ok(told.indexOf("task_complete") < told.indexOf("exec_command_end"));
  const [{ turn_id } = {}] = ofType("exec_command_begin");
  assert.deepEqual(
    ofType("item_completed")
      .filter(({ item }) => item.type === "CommandExecution")
      .map(({ turn_id: of }) => of),
    [turn_id],
  );
  assert.deepEqual(thread.terminals.list(), []);
  await thread.run("again");
  assert.equal(steady(outputs()[1]), answered("Process exited with code 5", 2, "last\n"));
  assert.deepEqual(ofType("terminal_interaction"), [], "a look at what has ended is no interaction");
});

test("typing into a command without a terminal is refused, and an unknown session too", async (t) => {
  const { thread, outputs } = await bench(
    t,
    plays(
      [exec("exec sleep 100", { yield_time_ms: 250 })],
      (session) => look(session, { chars: "hi\n" }),
      look(4242),
      "done",
    ),
    EXEC,
  );
  await thread.run("go");
  assert.deepEqual(outputs().slice(1), [
    "write_stdin failed: stdin is closed for this session; rerun exec_command with tty=true to keep stdin open",
    "write_stdin failed: Unknown process id 4242",
  ]);
});

test("an interrupt leaves the command running; ended by its id, it ends with all that it started", async (t) => {
  const { thread, cwd, outputs, ofType } = await bench(t, [[exec(DEAF, { yield_time_ms: 30_000 })], "never"], EXEC);
  const up = nextOf(thread, "exec_command_output_delta");
  const turn = thread.run("go").catch((error: unknown) => error);
  await up;
  await thread.interrupt();
  await turn;
  assert.match(outputs()[0] ?? "", /^Wall time: [\d.]+ seconds\naborted by user$/);
  const pids = await pidsOf(cwd);
  assert.deepEqual(await Promise.all(pids.map(isRunning)), [true, true]);
  const [{ processId = "" } = {}] = thread.terminals.list();
  assert.equal(thread.terminals.terminate("77"), false);
  const ended = nextOf(thread, "exec_command_end");
  assert.equal(thread.terminals.terminate(processId), true);
  assert.deepEqual(thread.terminals.list(), []);
  assert.equal((await ended).exit_code, -1);
  assert.ok(await gone(pids));
  assert.equal(ofType("item_completed").filter(({ item }) => item.type === "CommandExecution").length, 1);
});

test("an interrupted look says how long it took, and is no interaction", async (t) => {
  const { thread, outputs, ofType } = await bench(
    t,
    plays([exec("exec sleep 100", { yield_time_ms: 250 })], (session) => look(session), "never"),
    EXEC,
  );
  const looking = called(thread, "write_stdin");
  const turn = thread.run("go").catch((error: unknown) => error);
  await looking;
  await thread.interrupt();
  await turn;
  assert.match(outputs()[1] ?? "", /^aborted by user after \d\.\ds$/);
  assert.deepEqual(ofType("terminal_interaction"), []);
});

test("commands end with their thread, their end told before the thread's (T8)", async (t) => {
  const { thread, cwd, events } = await bench(t, [[exec(DEAF, { yield_time_ms: 250 })], "turn over"], EXEC);
  await thread.run("go");
  const pids = await pidsOf(cwd);
  assert.deepEqual(await Promise.all(pids.map(isRunning)), [true, true]);
  await thread.shutdown();
  assert.deepEqual(kinds(events).slice(-3), ["item_completed", "exec_command_end", "shutdown_complete"]);
  assert.ok(await gone(pids));
});

test("a thread with a running command is not unloaded to make room; one without is", async (t) => {
  const { thread, manager } = await bench(t, [[exec("exec sleep 100", { yield_time_ms: 250 })], "over"], EXEC, {
    limits: { residentThreads: 1 },
  });
  await thread.run("go");
  await assert.rejects(manager.startThread(), { code: "limit_reached" });
  await thread.terminals.clean();
  await manager.startThread();
  assert.equal(thread.actor, undefined);
});

test("commands of one answer run side by side, a patch after them", async (t) => {
  const patch = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: p.txt\n+hello\n*** End Patch\nEOF\n";
  const { thread, outputs, cwd } = await bench(
    t,
    [
      [
        exec("mkfifo a b 2>/dev/null; until [ -p b ]; do :; done; echo 1 > a; read x < b; ls *.txt 2>&1; echo A"),
        exec("until [ -p b ]; do :; done; read x < a; echo 2 > b; echo B"),
        exec(patch),
      ],
      "done",
    ],
    EXEC,
  );
  await thread.run("go", { deadlineMs: 20_000 });
  const [a, b, patched] = outputs();
  assert.match(a ?? "", /No such file or directory\nA\n$/);
  assert.match(b ?? "", /\nB\n$/);
  assert.match(patched ?? "", /^Exit code: 0\n[\s\S]*A p\.txt\n$/);
  assert.equal(await readFile(join(cwd, "p.txt"), "utf8"), "hello\n");
});

test("long output is cut to the budget that the model asks for, and never to more than ours", async (t) => {
  const { thread, outputs } = await bench(
    t,
    [[exec("seq 1 100000", { max_output_tokens: 50 })], [exec("seq 1 100000", { max_output_tokens: 1e9 })], "done"],
    EXEC,
  );
  await thread.run("go");
  const [small = "", large = ""] = outputs();
  const head =
    /Original token count: 147224\nOutput:\nWarning: truncated output \(original token count: 147224\)\nTotal output lines: 100000\n\n1\n2\n/;
  assert.match(small, head);
  assert.match(small, /\n99999\n100000\n$/);
  assert.match(small, /…1471\d\d tokens truncated…/);
  assert.match(large, head);
  assert.ok(large.length > 39_000 && large.length < 41_000, `${large.length}`);
});

test("an approval is asked for before anything is begun; a refusal leaves no item", async (t) => {
  const { thread, events, outputs, ofType } = await bench(
    t,
    [
      [call("exec_command", { cmd: "touch a.txt" }, { callId: "no" })],
      [call("exec_command", { cmd: "touch a.txt" }, { callId: "yes" })],
      "done",
    ],
    { ...EXEC, approvalPolicy: "untrusted" },
  );
  answering(thread, "denied", "approved");
  await thread.run("go");
  assert.deepEqual(
    events.flatMap(({ msg }) => (/^exec_/.test(msg.type) && "call_id" in msg ? [`${msg.type} ${msg.call_id}`] : [])),
    ["exec_approval_request no", "exec_approval_request yes", "exec_command_begin yes", "exec_command_end yes"],
  );
  assert.deepEqual(outputs().map(steady), [
    "exec_command failed: exec command rejected by user",
    answered("Process exited with code 0", 0, ""),
  ]);
  assert.deepEqual(
    ofType("exec_approval_request").map(({ proposed_execpolicy_amendment }) => proposed_execpolicy_amendment),
    [
      ["touch", "a.txt"],
      ["touch", "a.txt"],
    ],
  );
});

test("a prefix that the model proposes is what the user is asked to allow, where it fits the command", async (t) => {
  const asks = (prefix_rule: string[]) =>
    exec("git pull origin", { sandbox_permissions: "require_escalated", justification: "to pull", prefix_rule });
  const { thread, ofType } = await bench(t, [[asks(["git", "pull"])], [asks(["rm"])], "done"], {
    ...EXEC,
    approvalPolicy: "on-request",
  });
  answering(thread, "denied", "denied");
  await thread.run("go");
  assert.deepEqual(
    ofType("exec_approval_request").map((msg) => [msg.reason, msg.proposed_execpolicy_amendment]),
    [
      ["to pull", ["git", "pull"]],
      ["to pull", ["git", "pull", "origin"]],
    ],
  );
});

test("older names of command tools still run, and are not offered", async (t) => {
  const { thread, model, outputs } = await bench(
    t,
    [
      [call("shell_command", { command: "echo sc", login: false })],
      [call("shell", { command: ["echo", "it's", "here"] })],
      [call("shell", { command: ["bash", "-c", "echo $((1 + 1))"] })],
      "done",
    ],
    EXEC,
  );
  await thread.run("go");
  assert.deepEqual(
    outputs().map((output) => output.replace(/Wall time: [\d.]+/, "Wall time: N")),
    ["sc", "it's here", "2"].map((text) => `Exit code: 0\nWall time: N seconds\nOutput:\n${text}\n`),
  );
  assert.deepEqual(
    model.requests[0]?.tools.map(({ name }) => name),
    ["exec_command", "write_stdin"],
  );
});

test("a shell is chosen by its name, and programs find no terminal and no pager", async (t) => {
  const { thread, outputs } = await bench(
    t,
    [
      [exec("echo $0 $TERM $GIT_PAGER $NO_COLOR", { shell: "sh" })],
      [exec("echo $0", { shell: "/tmp/evil/fish" })],
      "d",
    ],
    EXEC,
  );
  await thread.run("go");
  assert.match(outputs()[0] ?? "", /\n\/bin\/sh dumb cat 1\n$/);
  assert.match(outputs()[1] ?? "", /\n\/bin\/bash\n$/);
});

test("the time to yield is kept by the clock, within Codex's bounds", async (t) => {
  const clock = new ManualClock();
  const { thread, outputs } = await bench(t, [[exec("exec sleep 100", { yield_time_ms: 1e9 })], "done"], EXEC, {
    clock,
  });
  const begun = nextOf(thread, "exec_command_begin");
  const turn = thread.run("go");
  await begun;
  await clock.advance(29_999);
  assert.equal(outputs().length, 0);
  await clock.advance(1);
  await turn;
  assert.match(outputs()[0] ?? "", /Wall time: 30\.0000 seconds\nProcess running with session ID/);
});
