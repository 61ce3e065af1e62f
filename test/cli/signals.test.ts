/** A signal ends each command, also while it waits for a database that takes its call and never answers, or for a reader that has stalled. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { newThreadId } from "../../src/index.ts";
import { start } from "./skein.ts";
import { tempFolder } from "./temp-home.ts";

const THREAD = newThreadId();

const COMMANDS: readonly (readonly string[])[] = [
  ["app-server"],
  ["app-server", "--listen", "ws://127.0.0.1:0"],
  ["app-server", "--cluster", "http://127.0.0.1:1"],
  ["worker", "--port", "0"],
  ["exec", "hi"],
  ["review", "hi"],
  ["list"],
  ["show", THREAD],
  ["fork", THREAD],
  ["archive", THREAD],
  ["delete", THREAD],
  ["export", THREAD],
  ["copy", "--to", "copied"],
  ["recover"],
  ["verify"],
  ["tree"],
  ["demo"],
  ["demo", "--studio"],
];

/** How the command ends that gets a signal as soon as it has called its database: by its code, or by the signal. */
async function endOf(args: readonly string[], signal: NodeJS.Signals, t: TestContext): Promise<number | string> {
  const home = await tempFolder(t);
  const silent = createServer((socket) => socket.on("error", () => undefined).resume()).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = Object(silent.address());
  const called = once(silent, "connection");
  const child = start([...args, "--store", `postgres://skein@127.0.0.1:${port}/skein`, "--home", home], { cwd: home });
  t.after(() => child.kill("SIGKILL"));
  const ended = once(child, "exit");
  child.stdin.end();
  await Promise.race([called, ended]);
  child.kill(signal);
  const [exitCode, by] = await ended;
  silent.close();
  return exitCode ?? by;
}

for (const [signal, code, commands] of [
  ["SIGTERM", 143, COMMANDS],
  ["SIGINT", 130, COMMANDS.slice(0, 4)],
  ["SIGHUP", 129, COMMANDS.slice(0, 4)],
] as const) {
  test(`${signal} ends them all`, { timeout: 120_000, concurrency: 4 }, async (t) => {
    const tried = commands.map((args) =>
      t.test(args.join(" "), async (each) => {
        const end = await endOf(args, signal, each);
        assert.ok(end === code || end === signal, `it ended with ${end}`);
      }),
    );
    await Promise.all(tried);
  });
}

test("a command whose reader has stalled ends by a signal, and does not call that a success", {
  timeout: 60_000,
}, async (t) => {
  const child = start(["exec", "--json", "-", "--home", await tempFolder(t)]);
  t.after(() => child.kill("SIGKILL"));
  child.stdin.end("long ".repeat(200_000));
  const ended = once(child, "exit");
  // As much of the answer has come as is read ahead: the rest of it does not fit into the pipe.
  child.stdout.on("readable", () => undefined);
  while (child.stdout.readableLength < child.stdout.readableHighWaterMark)
    await new Promise((resolve) => setImmediate(resolve));
  child.kill("SIGTERM");
  assert.deepEqual(await ended, [143, null]);
});
