/** exec_command with `tty`, where the package for pseudo-terminals is installed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadPty } from "../../../src/process/pty-process.ts";
import { answered, DEAF, EXEC, exec, look, pidsOf, plays, steady } from "./exec-plays.ts";
import { gone, isRunning } from "./processes.ts";
import { bench, kinds } from "./tool-turn.ts";

const skip = await loadPty().then(
  () => false,
  (error: Error) => error.message,
);

test("in a pseudo-terminal a command is typed into, and interrupted by a key (0.169's answers)", {
  skip,
}, async (t) => {
  const { thread, events, outputs, ofType } = await bench(
    t,
    plays(
      [exec("tty >&2; echo ask; read x; echo got $x; read y; echo bye $y; exit 3", { tty: true, yield_time_ms: 250 })],
      (session) => look(session, { chars: "hello\n" }),
      (session) => look(session, { chars: "more\n", yield_time_ms: 20_000 }),
      [exec("exec cat", { tty: true, yield_time_ms: 250 })],
      (session) => look(session, { chars: "\u0003", yield_time_ms: 20_000 }),
      "done",
    ),
    EXEC,
  );
  await thread.run("go");
  const [asked = "", typed, ended, cat, interrupted] = outputs().map(steady);
  assert.match(asked, /Process running with session ID S\n.*\nOutput:\n\/dev\/pts\/\d+\r\nask\r\n$/);
  assert.equal(typed, answered("Process running with session ID S", 5, "hello\r\ngot hello\r\n"));
  assert.equal(ended, answered("Process exited with code 3", 4, "more\r\nbye more\r\n"));
  assert.equal(cat, answered("Process running with session ID S", 0, ""));
  assert.equal(interrupted, answered("Process exited with code 130", 1, "^C"));
  assert.deepEqual(
    kinds(events).filter((kind) => /^(?:terminal_|exec_command_end)/.test(kind)),
    [
      "terminal_interaction",
      ...["terminal_interaction", "exec_command_end"],
      ...["terminal_interaction", "exec_command_end"],
    ],
    "a command's end is told behind what was typed",
  );
  assert.deepEqual(
    ofType("terminal_interaction").map(({ stdin }) => stdin),
    ["hello\n", "more\n", "\u0003"],
  );
});

test("a command in a pseudo-terminal ends with its thread, with what it has started", { skip }, async (t) => {
  const { thread, cwd } = await bench(t, [[exec(DEAF, { tty: true, yield_time_ms: 250 })], "over"], EXEC);
  await thread.run("go");
  const pids = await pidsOf(cwd);
  assert.deepEqual(await Promise.all(pids.map(isRunning)), [true, true]);
  await thread.shutdown();
  assert.ok(await gone(pids));
});
