/** The end of a server with things in flight: no client that has gone, stalls or sends nothing more keeps it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { appendFile, readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { createAppServer } from "../../src/app-server/app-server.ts";
import { LAST_ANSWERS_MS } from "../../src/app-server/connection.ts";
import { linkedWires } from "../../src/app-server/wire.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { MAIN } from "../cli/skein.ts";
import { homeWithProvider } from "../cli/temp-home.ts";
import { ModelServer } from "../model/model-server.ts";
import { latch, overlaid } from "../rig.ts";
import { keptLog } from "../services/temp-home.ts";
import { fixture } from "../turn/tools/mcp-servers.ts";
import { answer, calling, lastUserText, hanging as neverEnding, replyOf } from "./model-plays.ts";
import { input } from "./stories.ts";
import { TestClient } from "./test-client.ts";

test("a client that sends nothing more is given up after a minute, whatever is worked on for it", async () => {
  const params: object = JSON.parse(await readFile(new URL("../data/app-server/params.json", import.meta.url), "utf8"));
  const clock = new ManualClock();
  const log = keptLog();
  const store = memoryStore();
  const back = latch();
  let isAway = false;
  const slow =
    <A extends unknown[], R>(work: (...given: A) => Promise<R>) =>
    async (...given: A): Promise<R> => {
      if (isAway) await back.opened;
      return work(...given);
    };
  const own = {
    get: slow((...given: Parameters<typeof store.get>) => store.get(...given)),
    list: slow((...given: Parameters<typeof store.list>) => store.list(...given)),
    open: slow((...given: Parameters<typeof store.open>) => store.open(...given)),
    create: slow((...given: Parameters<typeof store.create>) => store.create(...given)),
  };
  await using manager = await ThreadManager.create({ store: overlaid(store, own), config: { cwd: "/w" } });
  await using server = createAppServer(manager, {
    cwd: "/w",
    clock,
    logger: Object.assign({ ...silentLog }, { warn: log.warn }),
  });
  const wires = linkedWires();
  server.connect(wires.server);
  const client = new TestClient(wires.client);
  await client.initialize();
  const { thread } = await client.request("thread/start", {});
  isAway = true;
  for (const method of Object.keys(params)) client.send({ id: method, method, params: { threadId: thread.id } });
  wires.server.listener?.onEnded();
  await clock.advance(LAST_ANSWERS_MS - 1);
  assert.equal(server.connections, 1);
  await clock.advance(1);
  assert.equal(server.connections, 0);
  const given = log.lines.find(({ message }) => message.includes("given up"));
  assert.ok(Number(Object(given?.details).inFlight) > 5, JSON.stringify(log.lines));
  back.open();
});

/** Who works in a folder. */
const processesIn = (folder: string): string[] =>
  readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`).startsWith(folder);
    } catch {
      return false;
    }
  });

/** Neither a hangup nor a request to end ends it. */
const STUBBORN = "trap '' TERM INT HUP; echo begun; sleep 300; sleep 300";

const plays = replyOf(({ body }) => {
  const said = lastUserText(body);
  const asks = { sandbox_permissions: "require_escalated", justification: "it has to" };
  if (said === "command")
    return answer(calling("exec_command", { cmd: STUBBORN, yield_time_ms: 30_000 }, { callId: "c" }));
  if (said === "asks") return answer(calling("exec_command", { cmd: "true", ...asks }, { callId: "a" }));
  return neverEnding([]);
});

/** A server over standard input and output for which something of each kind is in flight. */
async function busyServer(t: TestContext) {
  const model = await ModelServer.start(plays);
  t.after(() => model[Symbol.asyncDispose]());
  const home = await homeWithProvider(t, model.baseUrl, 'approval_policy = "on-request"');
  const { command, args } = fixture("plain", home);
  const slow = `\n[mcp_servers.slow]\ncommand = ${JSON.stringify(command)}\nargs = ${JSON.stringify(args)}\n`;
  await appendFile(`${home}/config.toml`, slow);
  const child = spawn(process.execPath, [MAIN, "app-server", "--home", home], {
    env: { PATH: process.env.PATH, HOME: home },
    cwd: home,
    stdio: ["pipe", "pipe", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  const client = new TestClient({
    send: (line) => child.stdin.write(`${line}\n`),
    close: () => child.stdin.end(),
    onText: undefined,
    onClosed: undefined,
  });
  for (const stream of [child.stdin, child.stdout]) stream.on("error", () => undefined);
  const log: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => log.push(chunk.toString()));
  const lines = createInterface({ input: child.stdout }).on("line", (line) => client.take(line));
  await client.initialize();
  const begin = async (said: string) => {
    const { thread } = await client.request("thread/start", {});
    await client.request("turn/start", { threadId: thread.id, input: input(said) });
    return thread.id as string;
  };
  await begin("hang");
  await begin("command");
  await client.next("item/commandExecution/outputDelta");
  const threadId = await begin("asks");
  await client.next("item/commandExecution/requestApproval");
  const argv = ["sh", "-c", STUBBORN];
  client.send({
    id: "exec",
    method: "command/exec",
    params: { command: argv, tty: true, processId: "p", disableTimeout: true },
  });
  client.send({ id: "once", method: "execOneOffCommand", params: { command: argv } });
  await client.request("process/spawn", {
    command: argv,
    processHandle: "h",
    cwd: home,
    timeoutMs: null,
    streamStdin: true,
  });
  // More than a pipe takes: the writes wait for a program that never reads.
  const deltaBase64 = Buffer.alloc(100_000).toString("base64");
  for (let n = 0; n < 15; n += 1)
    client.send({ id: `w${n}`, method: "process/writeStdin", params: { processHandle: "h", deltaBase64 } });

  return { child, client, lines, log, threadId, home };
}

type Busy = Awaited<ReturnType<typeof busyServer>>;

/** It is owed more than the pipe and the server's buffer for it take, and reads no more of it. */
async function stall({ client, lines }: Busy): Promise<void> {
  for (let n = 0; n < 200; n += 1) client.send({ id: `more${n}`, method: "model/list", params: {} });
  await client.find(({ id }) => id === "more0");
  lines.close();
}

const callSlowTool = ({ client, threadId }: Busy): void =>
  client.send({ id: "mcp", method: "mcpServer/tool/call", params: { threadId, server: "slow", tool: "hang" } });

const TROUBLES: Readonly<Record<string, (busy: Busy) => void | Promise<void>>> = {
  "ends its input": ({ child }) => void child.stdin.end(),
  "has gone": ({ child }) => {
    child.stdin.destroy();
    child.stdout.destroy();
  },
  "sees it asked to end": (busy) => {
    callSlowTool(busy);
    busy.child.kill("SIGTERM");
  },
  "hangs up": (busy) => {
    callSlowTool(busy);
    busy.child.kill("SIGHUP");
  },
  "reads nothing, and sees it asked to end": async (busy) => {
    await stall(busy);
    busy.child.kill("SIGTERM");
  },
};

for (const [what, make] of Object.entries(TROUBLES)) {
  test(`a client that ${what} leaves no server behind, and nothing that it ran`, { timeout: 60_000 }, async (t) => {
    const busy = await busyServer(t);
    const ended = once(busy.child, "exit");
    await make(busy);
    // What it had to say was lost.
    assert.deepEqual(await ended, [what.startsWith("reads nothing") ? 143 : 0, null]);
    assert.deepEqual([processesIn(busy.home), busy.log], [[], []]);
  });
}
