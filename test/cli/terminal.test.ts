/** What only happens on a terminal: a pseudo-terminal of util-linux's `script`, with the test at its keyboard. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { createAppServer } from "../../src/app-server/app-server.ts";
import { widthOf } from "../../src/cli/terminal/text-width.ts";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import { say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { completed, created, ModelServer, sse, streaming, wholeAnswer } from "../model/model-server.ts";
import { ended, printed } from "./skein.ts";
import { homeWithProvider, storedThread, tempFolder } from "./temp-home.ts";

const SCRIPT = "/usr/bin/script";
const options = { skip: existsSync(SCRIPT) ? false : "needs util-linux's script" };
const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** Runs the command on a terminal of 100 by 30 cells, or of so many columns. */
function onTerminal(args: readonly string[], env: Record<string, string> = {}, columns = 100) {
  const command = [process.execPath, MAIN, ...args].map((word) => `'${word}'`).join(" ");
  return spawn(SCRIPT, ["-qefc", `stty cols ${columns} rows 30; ${command}`, "/dev/null"], {
    env: { PATH: process.env.PATH ?? "", TERM: "xterm", SHELL: "/bin/sh", HOME: "/nonexistent", ...env },
  });
}

test("the demo draws in place and gives the cursor back", options, async () => {
  const { code, stdout } = await ended(onTerminal(["demo", "--turns", "1"]));
  assert.equal(code, 0);
  assert.ok(stdout.startsWith("\x1b[?25l"), "hides the cursor");
  assert.equal(stdout.lastIndexOf("\x1b[?25h"), stdout.lastIndexOf("\x1b[?25"), "shows it last");
  assert.match(stdout, /\p{Cc}\[\d+A/u);
  assert.match(stdout, /\p{Cc}\[32m/u);
  const lines = stripVTControlCharacters(stdout).split(/\r?\n|\r/);
  assert.deepEqual(
    lines.filter((line) => line.length > 100),
    [],
  );
});

test("NO_COLOR is honoured, and SIGINT gives the cursor back", options, async () => {
  const child = onTerminal(["demo"], { NO_COLOR: "1" });
  const end = ended(child);
  await printed(child, "started by");
  child.stdin.write("\x03");
  const { code, stdout } = await end;
  assert.equal(code, 130);
  assert.equal(stdout.lastIndexOf("\x1b[?25h"), stdout.lastIndexOf("\x1b[?25"));
  assert.doesNotMatch(stdout, /\p{Cc}\[\d+m/u);
  assert.match(stdout, /Interrupted\. /);
});

test("a dumb terminal gets plain lines", options, async () => {
  const { code, stdout } = await ended(onTerminal(["demo", "--turns", "1"], { TERM: "dumb" }));
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /\p{Cc}\[\??\d+[lhAK]/u);
});

test("list is a table that fits", options, async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, [`a long ${"and wide 道 ".repeat(20)}message`]);
  const { code, stdout } = await ended(onTerminal(["list", "--home", home]));
  assert.equal(code, 0);
  const [heading = "", row = ""] = stripVTControlCharacters(stdout).split("\r\n");
  assert.match(heading, /^thread +updated +folder +title$/);
  assert.match(row, new RegExp(`^${threadId} +\\d+ s ago  /tmp +a long and wide 道 .*…$`));
});

const shellCall = (callId: string, command: string) => ({
  type: "response.output_item.done",
  item: { type: "function_call", call_id: callId, name: "shell_command", arguments: JSON.stringify({ command }) },
});

test("an approval is asked for, and the answer counts", options, async (t) => {
  await using server = await ModelServer.start(
    streaming(sse(created, shellCall("c1", "touch yes"), completed)),
    streaming(sse(created, shellCall("c2", "touch no"), completed)),
    streaming(wholeAnswer("thanks")),
  );
  const home = await homeWithProvider(t, server.baseUrl);
  const child = onTerminal([
    ...["exec", "go", "--home", home, "--cd", home],
    ...["--tools", "shell", "--sandbox", "danger-full-access", "--ask-for-approval", "untrusted"],
  ]);
  const end = ended(child);
  await printed(child, "Allow `touch yes`");
  child.stdin.write("y\r");
  await printed(child, "Allow `touch no`");
  child.stdin.write("n\r");
  const { code, stdout } = await end;
  assert.equal(code, 0, stdout);
  assert.match(stdout, /thanks/);
  assert.equal(await readFile(join(home, "yes"), "utf8"), "");
  await assert.rejects(readFile(join(home, "no")));
});

test("Ctrl-C at a question interrupts the turn", options, async (t) => {
  await using server = await ModelServer.start(streaming(sse(created, shellCall("c1", "touch it"), completed)));
  const home = await homeWithProvider(t, server.baseUrl);
  const child = onTerminal([
    ...["exec", "go", "--home", home, "--cd", home],
    ...["--tools", "shell", "--sandbox", "danger-full-access", "--ask-for-approval", "untrusted"],
  ]);
  const end = ended(child);
  await printed(child, "Allow `touch it`");
  child.stdin.write("\x03");
  const { code, stdout } = await end;
  assert.equal(code, 130, stdout);
  assert.match(stdout, /turn interrupted/);
});

test("resume without a prompt is a conversation", options, async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["one"]);
  const child = onTerminal(["resume", threadId, "--home", home]);
  const end = ended(child);
  await printed(child, "> ");
  child.stdin.write("two\r");
  await printed(child, "ack: two");
  await printed(child, "> ");
  child.stdin.write("three\r");
  await printed(child, "ack: three");
  await printed(child, "> ");
  child.stdin.write("\x04");
  const { code } = await end;
  assert.equal(code, 0);
});

test("delete asks first", options, async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["one"]);
  for (const [answer, code] of [
    ["\r", 1],
    ["y\r", 0],
  ] as const) {
    const child = onTerminal(["delete", threadId, "--home", home]);
    const end = ended(child);
    await printed(child, "for good? [y/N]");
    child.stdin.write(answer);
    const result = await end;
    assert.equal(result.code, code);
    assert.equal(result.stdout.includes(`deleted ${threadId}`), code === 0);
  }
});

test(
  "tree --watch and top fit a narrow terminal, whatever threads are called, and give the cursor back",
  options,
  async (t) => {
    const manager = await ThreadManager.create({
      store: memoryStore(),
      model: scriptedClient(() => [say("done")]),
      limits: { depth: 20 },
    });
    const server = createAppServer(manager, { cwd: "/w" });
    t.after(async () => {
      await server.close();
      await manager.shutdown();
    });
    const { url } = await server.listen("ws://127.0.0.1:0");
    const { thread } = await manager.startThread();
    await thread.run("\x1b[2Jwipes \x07the screen, safe\u202egnp 東京 and then goes on for long");
    const agents = manager.agentControl();
    let parentThreadId = thread.id;
    for (let depth = 1; depth < 14; depth += 1) {
      const agent = { nickname: `深い Nickname ${depth}`, role: "a-role-with-a-long-name" };
      parentThreadId = (await agents.spawnAgent(undefined, "go", { parentThreadId, agent })) as never;
      await agents.waitFor([parentThreadId]);
    }
    for (const columns of [20, 66]) {
      for (const args of [["tree", "--watch"], ["top"]]) {
        const child = onTerminal([...args, "--connect", url], {}, columns);
        const end = ended(child);
        await printed(child, /wipes|Nick/);
        child.stdin.write("\x03");
        const { code, stdout } = await end;
        assert.equal(code, 130, stdout);
        assert.equal(stdout.lastIndexOf("\x1b[?25h"), stdout.lastIndexOf("\x1b[?25"), "the cursor is back");
        for (const sign of ["\x1b[2J", "\x07", "\u202e"]) assert.ok(!stdout.includes(sign));
        const lines = stripVTControlCharacters(stdout).split(/\r?\n|\r/);
        assert.deepEqual(
          lines.filter((line) => widthOf(line) > columns && line !== "^C"),
          [],
          `${args[0]} at ${columns}`,
        );
      }
    }
  },
);
