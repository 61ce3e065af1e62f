/** shell_command against real processes. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { call } from "../../../src/model/script.ts";
import { gone, isRunning } from "./processes.ts";
import { bench, kinds, nextOf } from "./tool-turn.ts";

const sh = (command: string, rest: object = {}) => call("shell_command", { command, login: false, ...rest });

/** The wall time is the one thing that differs from run to run. */
const timeless = (output: string | undefined): string => (output ?? "").replace(/Wall time: [\d.]+/, "Wall time: N");

test("a command's output, its exit code and the events around it are Codex's (0.80 tool_call)", async (t) => {
  const { thread, events, outputs, ofType, cwd } = await bench(t, [
    [call("shell_command", { command: "echo hello && ls" }, { callId: "call_sh1" })],
    "Done with the command.",
  ]);
  await thread.run("run it");
  assert.deepEqual(outputs().map(timeless), ["Exit code: 0\nWall time: N seconds\nOutput:\nhello\n"]);
  assert.deepEqual(
    kinds(events).filter((kind) => !/^(?:session_|raw_|agent_message_|item_started|item_completed|mcp_)/.test(kind)),
    [
      "task_started",
      "user_message",
      "token_count",
      "token_count",
      "exec_command_begin",
      "exec_command_output_delta",
      "exec_command_end",
      "token_count",
      "agent_message",
      "token_count",
      "task_complete",
    ],
  );
  const [begin] = ofType("exec_command_begin");
  const about = {
    call_id: "call_sh1",
    turn_id: begin?.turn_id,
    command: ["/bin/bash", "-lc", "echo hello && ls"],
    cwd,
    parsed_cmd: [{ type: "list_files", cmd: "ls", path: null }],
    source: "agent",
  };
  assert.deepEqual(begin, { type: "exec_command_begin", ...about });
  assert.deepEqual(ofType("exec_command_output_delta"), [
    { type: "exec_command_output_delta", call_id: "call_sh1", stream: "stdout", chunk: "aGVsbG8K" },
  ]);
  const [end] = ofType("exec_command_end");
  assert.deepEqual(end, {
    type: "exec_command_end",
    ...about,
    stdout: "hello\n",
    stderr: "",
    aggregated_output: "hello\n",
    exit_code: 0,
    duration: end?.duration,
    formatted_output: "hello\n",
  });
});

test("a failing command and a plan: outputs in the order of the calls", async (t) => {
  const plan = [
    { step: "one", status: "completed" },
    { step: "two", status: "in_progress" },
  ];
  const { thread, outputs, ofType } = await bench(t, [
    [sh("exit 3"), call("update_plan", { explanation: "why", plan })],
    "It failed.",
  ]);
  await thread.run("fail it");
  assert.deepEqual(outputs().map(timeless), ["Exit code: 3\nWall time: N seconds\nOutput:\n", "Plan updated"]);
  assert.deepEqual(ofType("plan_update"), [{ type: "plan_update", explanation: "why", plan }]);
  assert.equal(ofType("exec_command_end")[0]?.exit_code, 3);
});

test("the item of a command is started and completed; its streams are told apart", async (t) => {
  const { thread, ofType } = await bench(t, [[sh("echo out; echo err >&2; exit 1")], "done"]);
  await thread.run("go");
  const items = [...ofType("item_started"), ...ofType("item_completed")]
    .map(({ item }) => item)
    .filter(({ type }) => type === "CommandExecution");
  assert.deepEqual(
    items.map((item) => "status" in item && item.status),
    ["in_progress", "failed"],
  );
  const [end] = ofType("exec_command_end");
  assert.equal(end?.stdout, "out\n");
  assert.equal(end?.stderr, "err\n");
});

test("the rollout holds the command's end as 0.169 stores it", async (t) => {
  const { thread, manager, cwd } = await bench(t, [
    [call("shell_command", { command: "echo kept" }, { callId: "c" })],
    "d",
  ]);
  await thread.run("go");
  const stored: object[] = [];
  for await (const page of manager.store.load(thread.id)) {
    for (const line of page) {
      if (line.type === "event_msg" && line.payload.type === "item_completed") stored.push(line.payload.item);
    }
  }
  const item = stored.find((each) => "type" in each && each.type === "CommandExecution") ?? {};
  assert.deepEqual(
    { ...item, duration: null },
    {
      type: "CommandExecution",
      id: "c",
      command: ["/bin/bash", "-lc", "echo kept"],
      cwd,
      parsed_cmd: [{ type: "unknown", cmd: "echo kept" }],
      source: "agent",
      status: "completed",
      aggregated_output: "kept\n",
      exit_code: 0,
      duration: null,
    },
  );
});

test("a program that has left the group does not hold the call back", async (t) => {
  const { thread, outputs, cwd } = await bench(t, [[sh("setsid sleep 30 & echo $! > away; echo hi")], "done"]);
  await thread.run("go", { deadlineMs: 5_000 });
  assert.match(outputs()[0] ?? "", /Output:\nhi\n$/);
  const away = Number(await readFile(join(cwd, "away"), "utf8"));
  if (await isRunning(away)) process.kill(away, "SIGKILL");
});

test("commands of one answer run one after another, in order", async (t) => {
  const { thread, outputs } = await bench(t, [
    [sh("sleep 0.05; echo first > order"), sh("cat order; echo second >> order"), sh("cat order")],
    "done",
  ]);
  await thread.run("go");
  assert.deepEqual(
    outputs().map((output) => output.split("Output:\n")[1]),
    ["", "first\n", "first\nsecond\n"],
  );
});

test("long output keeps its beginning and its end, in memory and for the model", async (t) => {
  const { thread, outputs, ofType } = await bench(t, [
    [sh("echo begin; head -c 100000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo; echo end", { timeout_ms: 60_000 })],
    "done",
  ]);
  await thread.run("go", { deadlineMs: 90_000 });
  const [output = ""] = outputs();
  const head = /^Exit code: 0\nWall time: [\d.]+ seconds\nTotal output lines: 1010104\nOutput:\nbegin\nxxx/;
  assert.ok(head.test(output), output.slice(0, 200));
  assert.ok(/x…252425\d\d tokens truncated…x/.test(output), /….*…/.exec(output)?.[0]);
  assert.ok(/xxx\nx\nend\n$/.test(output), output.slice(-200));
  assert.ok(output.length < 41_000, `${output.length} characters went to the model`);
  const [end] = ofType("exec_command_end");
  assert.ok((end?.aggregated_output.length ?? 0) < 270_000);
  assert.ok(/^begin\nx[\s\S]*bytes omitted[\s\S]*\nend\n$/.test(end?.aggregated_output ?? ""));
  const told = ofType("exec_command_output_delta").reduce((sum, { chunk }) => sum + chunk.length, 0);
  assert.ok(told < 1_500_000, `${told} characters were told as deltas`);
});

test("a timeout ends the command and says so", async (t) => {
  const { thread, outputs, ofType } = await bench(t, [[sh("echo before; sleep 30", { timeout_ms: 100 })], "done"]);
  await thread.run("go", { deadlineMs: 10_000 });
  assert.match(
    outputs()[0] ?? "",
    /^Exit code: 124\nWall time: 0\.\d seconds\nOutput:\ncommand timed out after \d+ milliseconds\nbefore\n$/,
  );
  assert.equal(ofType("exec_command_end")[0]?.exit_code, 124);
});

/** A child in the foreground, a grandchild in the background, both deaf to SIGTERM. */
const DEAF =
  "trap '' TERM; (trap '' TERM; echo $BASHPID > grandchild; exec sleep 1000) & echo $$ > child; until [ -s grandchild ]; do sleep 0.01; done; echo up; wait";

const pidsOf = async (cwd: string): Promise<number[]> =>
  Promise.all(["child", "grandchild"].map(async (name) => Number(await readFile(join(cwd, name), "utf8"))));

test("an interrupt kills the whole group, and its output is recorded before turn_aborted", async (t) => {
  const { thread, cwd, outputs, events, ofType } = await bench(t, [[sh(DEAF, { timeout_ms: 60_000 })], "never"]);
  const up = nextOf(thread, "exec_command_output_delta");
  const turn = thread.run("go").catch((error: unknown) => error);
  await up;
  const pids = await pidsOf(cwd);
  assert.deepEqual(await Promise.all(pids.map(isRunning)), [true, true]);
  const from = performance.now();
  await thread.interrupt();
  const tookMs = performance.now() - from;
  await turn;
  assert.match(outputs()[0] ?? "", /^Wall time: [\d.]+ seconds\naborted by user$/);
  const order = kinds(events);
  assert.equal(order.at(-1), "turn_aborted");
  assert.ok(order.lastIndexOf("raw_response_item") < order.indexOf("turn_aborted"));
  assert.equal(ofType("exec_command_end")[0]?.exit_code, -1);
  assert.ok(tookMs < 400, `the interrupt took ${tookMs} ms`);
  assert.ok(await gone(pids));
});

test("a timeout kills the whole group too", async (t) => {
  const { thread, cwd } = await bench(t, [[sh(DEAF, { timeout_ms: 300 })], "done"]);
  await thread.run("go", { deadlineMs: 10_000 });
  assert.ok(await gone(await pidsOf(cwd)));
});

test("what a command leaves in the background ends with it", async (t) => {
  const { thread, cwd, outputs } = await bench(t, [
    [sh("sleep 1000 & echo $! > child; echo $! > grandchild; echo ok")],
    "d",
  ]);
  await thread.run("go", { deadlineMs: 10_000 });
  assert.match(outputs()[0] ?? "", /Output:\nok\n$/);
  assert.ok(await gone(await pidsOf(cwd)));
});

test("a manager's end kills what its threads run", async (t) => {
  const { thread, manager, cwd } = await bench(t, [[sh(DEAF, { timeout_ms: 60_000 })], "never"]);
  const up = nextOf(thread, "exec_command_output_delta");
  const turn = thread.run("go").catch((error: unknown) => error);
  await up;
  const pids = await pidsOf(cwd);
  await manager.shutdown();
  await turn;
  assert.ok(await gone(pids));
});

test("commands inherit the environment without its secrets", async (t) => {
  const environment = {
    ...process.env,
    OPENAI_API_KEY: "k",
    GH_TOKEN: "t",
    MY_SECRET: "s",
    db_password: "p",
    PLAIN: "yes",
  };
  const { thread, outputs } = await bench(t, [[sh("env")], "done"], {}, { environment });
  await thread.run("go");
  assert.match(outputs()[0] ?? "", /^PLAIN=yes$/m);
  assert.doesNotMatch(outputs()[0] ?? "", /API_KEY|TOKEN|SECRET|password/);
});

test("bad calls are answered and end nothing", async (t) => {
  const { thread, outputs } = await bench(t, [
    [
      call("shell_command", "not json"),
      call("shell_command", { cmd: "ls" }),
      sh("ls", { timeout_ms: -1 }),
      sh("ls", { workdir: "/no/such/folder" }),
      sh(`echo ${"\0"}`),
      call("update_plan", { plan: [{ step: "one", status: "odd" }] }),
      call("no_such_tool", { a: 1 }),
    ],
    "done",
  ]);
  const result = await thread.run("go");
  assert.equal(result.lastAgentMessage, "done");
  const [json = "", schema = "", timeout = "", workdir = "", nul = "", plan = "", unknown = ""] = outputs();
  assert.match(json, /^failed to parse function arguments: /);
  assert.match(schema, /^failed to parse function arguments: command: /);
  assert.match(timeout, /^failed to parse function arguments: timeout_ms: /);
  assert.equal(workdir, "workdir is not a folder: /no/such/folder");
  assert.match(nul, /null bytes/);
  assert.match(plan, /^failed to parse function arguments: plan\[0\]\.status: /);
  assert.equal(unknown, "unsupported call: no_such_tool");
});

test("without builtInTools the model has no shell", async (t) => {
  const { thread, outputs, model } = await bench(t, [[sh("ls")], "done"], { builtInTools: [] });
  await thread.run("go");
  assert.deepEqual(outputs(), ["unsupported call: shell_command"]);
  assert.deepEqual(model.requests[0]?.tools, []);
});
