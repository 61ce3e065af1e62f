/** The op run_user_shell_command against real processes: in a turn of its own, beside a turn, interrupted. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { say, wait } from "../../src/model/script.ts";
import type { ThreadEvent } from "../../src/protocol/event.ts";
import { textOf } from "../../src/protocol/response-item.ts";
import type { Thread } from "../../src/thread/thread.ts";
import { bench, nextOf } from "./tools/tool-turn.ts";

const command = (text: string) => ({ type: "run_user_shell_command", command: text }) as const;

/** What the model is told of commands, without what differs from run to run. */
const messages = (events: readonly ThreadEvent[]): string[] =>
  events.flatMap(({ msg }) => {
    const text = msg.type === "raw_response_item" ? textOf(msg.item) : "";
    return text.startsWith("<user_shell_command>") ? [text.replace(/Duration: \d+\.\d{4}/, "Duration: D")] : [];
  });

const messageOf = (text: string, exitCode: number, output: string): string =>
  `<user_shell_command>\n<command>\n${text}\n</command>\n<result>\nExit code: ${exitCode}\nDuration: D seconds\nOutput:\n${output}\n</result>\n</user_shell_command>`;

const told = (events: readonly ThreadEvent[]): string[] =>
  events.flatMap(({ msg }) => {
    if (/^(?:task_|turn_aborted|exec_command_(?:begin|end))/.test(msg.type)) return [msg.type];
    if (msg.type === "raw_response_item" && textOf(msg.item).startsWith("<user_shell_command>")) return ["recorded"];
    return [];
  });

const run = async (thread: Thread, text: string) => {
  const ended = nextOf(thread, "task_complete");
  await thread.submit(command(text));
  return ended;
};

test("an idle thread runs it in a turn of its own, without a question, and asks no model", async (t) => {
  const { thread, events, model, ofType, cwd } = await bench(t, ["heard"], {
    approvalPolicy: "untrusted",
    sandboxMode: "read-only",
  });
  const { last_agent_message, turn_id } = await run(thread, "echo hi; echo err >&2; touch made; exit 2");
  assert.equal(last_agent_message, null);
  assert.deepEqual(told(events), [
    "task_started",
    "exec_command_begin",
    "exec_command_end",
    "recorded",
    "task_complete",
  ]);
  const [end] = ofType("exec_command_end");
  assert.deepEqual(end, {
    type: "exec_command_end",
    call_id: end?.call_id,
    turn_id,
    command: ["/bin/bash", "-lc", "echo hi; echo err >&2; touch made; exit 2"],
    cwd,
    parsed_cmd: [{ type: "unknown", cmd: "echo hi; echo err >&2; touch made; exit 2" }],
    source: "user_shell",
    stdout: "hi\n",
    stderr: "err\n",
    aggregated_output: "hi\nerr\n",
    exit_code: 2,
    duration: end?.duration,
    formatted_output: "hi\nerr\n",
  });
  const message = messageOf("echo hi; echo err >&2; touch made; exit 2", 2, "hi\nerr\n");
  assert.deepEqual(messages(events), [message]);
  assert.equal(model.requests.length, 0);
  await thread.run("and?");
  const inputs = model.requests[0]?.input.map(textOf) ?? [];
  assert.ok(inputs.indexOf("and?") > inputs.findIndex((text) => text.includes("echo hi")));
});

test("beside a running turn it is an item of that turn, and the model hears of it before the turn ends", async (t) => {
  const gate = Promise.withResolvers<void>();
  const { thread, events, model, ofType } = await bench(t, [[wait(gate.promise), say("slow")], "heard"]);
  const begun = nextOf(thread, "task_started");
  const turn = thread.run("go");
  await begun;
  const recorded = nextOf(thread, "exec_command_end");
  await thread.submit(command("echo beside"));
  await recorded;
  gate.resolve();
  assert.equal((await turn).lastAgentMessage, "heard");
  assert.equal(ofType("task_started").length, 1);
  assert.deepEqual(told(events), [
    "task_started",
    "exec_command_begin",
    "exec_command_end",
    "recorded",
    "task_complete",
  ]);
  assert.deepEqual(messages(events), [messageOf("echo beside", 0, "beside\n")]);
  assert.equal(model.requests.length, 2);
});

test("an interrupt ends it at once, in its own turn and beside another, and says so", async (t) => {
  const { thread, events, ofType } = await bench(t, [[wait(new Promise(() => undefined))]]);
  const started = nextOf(thread, "exec_command_output_delta");
  await thread.submit(command("echo pre; sleep 100"));
  await started;
  await thread.interrupt();
  const begun = nextOf(thread, "task_started");
  const turn = thread.run("go").catch((error: unknown) => error);
  await begun;
  const again = nextOf(thread, "exec_command_output_delta");
  await thread.submit(command("echo pre; sleep 100"));
  await again;
  await thread.interrupt();
  await turn;
  const one = ["task_started", "exec_command_begin", "exec_command_end", "recorded", "turn_aborted"];
  assert.deepEqual(told(events), [...one, ...one]);
  const message = messageOf("echo pre; sleep 100", -1, "command aborted by user");
  assert.deepEqual(messages(events), [message, message]);
  assert.deepEqual(
    ofType("exec_command_end").map(({ exit_code, aggregated_output }) => [exit_code, aggregated_output]),
    [
      [-1, "command aborted by user"],
      [-1, "command aborted by user"],
    ],
  );
});

test("one beside a turn does not hold its end up; an interrupt of the idle thread ends it then", async (t) => {
  const gate = Promise.withResolvers<void>();
  const { thread, events } = await bench(t, [[wait(gate.promise), say("over")]]);
  const begun = nextOf(thread, "task_started");
  const turn = thread.run("go");
  await begun;
  const up = nextOf(thread, "exec_command_output_delta");
  await thread.submit(command("echo up; sleep 100"));
  await up;
  gate.resolve();
  await turn;
  const ended = nextOf(thread, "exec_command_end");
  await thread.interrupt();
  await ended;
  assert.deepEqual(told(events).slice(0, 4), [
    "task_started",
    "exec_command_begin",
    "task_complete",
    "exec_command_end",
  ]);
  await thread.shutdown();
  assert.deepEqual(messages(events), [messageOf("echo up; sleep 100", -1, "command aborted by user")]);
});

test("input that comes while one runs waits for its end, and a second one runs beside it", async (t) => {
  const { thread, events, cwd } = await bench(t, ["answered"]);
  const up = nextOf(thread, "exec_command_output_delta");
  await thread.submit(command("mkfifo gate; echo up; read x < gate"));
  await up;
  const turn = thread.run("meanwhile");
  const second = nextOf(thread, "exec_command_end");
  await thread.submit(command("echo second"));
  assert.equal((await second).aggregated_output, "second\n");
  await writeFile(join(cwd, "gate"), "\n");
  assert.equal((await turn).lastAgentMessage, "answered");
  assert.deepEqual(
    told(events).filter((kind) => /^(?:task_|turn_)/.test(kind)),
    ["task_started", "task_complete", "task_started", "task_complete"],
  );
});

test("it ends with its thread", async (t) => {
  const { thread, events } = await bench(t, []);
  const up = nextOf(thread, "exec_command_output_delta");
  await thread.submit(command("echo up; sleep 100"));
  await up;
  await thread.shutdown();
  assert.deepEqual(told(events), [
    "task_started",
    "exec_command_begin",
    "exec_command_end",
    "recorded",
    "turn_aborted",
  ]);
});
