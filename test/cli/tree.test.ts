/** `skein tree`, `skein top` and `skein studio`: what is seen of a home, and of a running app-server. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import * as z from "zod";
import { createAppServer } from "../../src/app-server/app-server.ts";
import { widthOf } from "../../src/cli/terminal/text-width.ts";
import { lineOf } from "../../src/cli/tree/tree.ts";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import { say, usage } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { fileStore } from "../../src/store/file/file-store.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { clientOver } from "../app-server/test-client.ts";
import { ended, jsonLines, printed, skein, start } from "./skein.ts";
import { tempFolder } from "./temp-home.ts";

const model = () => scriptedClient(() => [say("done"), usage({ input_tokens: 1_500, output_tokens: 20 })]);

/** A running app-server with a lead, its agent and a fork. */
async function running(t: TestContext, listen = "ws://127.0.0.1:0") {
  const manager = await ThreadManager.create({ store: memoryStore(), model: model() });
  const server = createAppServer(manager, { cwd: "/w" });
  const { url } = await server.listen(listen);
  t.after(async () => {
    await server.close();
    await manager.shutdown();
  });
  const { thread: lead } = await manager.startThread();
  await lead.run("Plan the flight");
  const agents = manager.agentControl();
  const agent = { nickname: "Hopper", role: "worker" };
  await agents.waitFor([await agents.spawnAgent(undefined, "go", { parentThreadId: lead.id, agent })]);
  const { thread: fork } = await manager.forkThread({ from: lead.id, at: "full" });
  return { manager, server, url, lead, fork };
}

/** A home with one thread, which nobody has open. */
async function homeOfOne(t: TestContext): Promise<string> {
  const home = await tempFolder(t);
  const store = fileStore({ home, fsync: "never" });
  const manager = await ThreadManager.create({ store, model: model() });
  const { thread } = await manager.startThread();
  await thread.run("hello there");
  await manager.shutdown();
  await store.close();
  return home;
}

test("tree --connect shows agents under their parent and forks under their source, in order", async (t) => {
  const { url } = await running(t);
  const { code, stdout, stderr } = await skein(["tree", "--connect", url]);
  assert.deepEqual([code, stderr], [0, ""]);
  const lines = stdout.trimEnd().split("\n");
  assert.match(lines[0] ?? "", /^○ Plan the flight .*1\.5k$/);
  assert.match(lines[1] ?? "", /^ {2}○ Hopper {2}worker .*1\.5k$/);
  assert.match(lines[2] ?? "", /^ {2}○ ↳ Plan the flight/);
  assert.equal(lines.length, 3);
});

test("tree --json is a line for each thread; with --watch, for each change too, until Ctrl-C", async (t) => {
  const { url, lead, manager } = await running(t);
  const { stdout } = await skein(["tree", "--connect", url, "--json"]);
  const rows = jsonLines(stdout);
  assert.deepEqual(
    rows.map(({ parent, fork }) => [parent, fork]),
    [
      [null, null],
      [lead.id, null],
      [null, lead.id],
    ],
  );
  const child = start(["tree", "--connect", url, "--json", "--watch"]);
  const over = ended(child);
  await printed(child, lead.id);
  const { threadId } = await manager.startThread();
  await printed(child, threadId);
  child.kill("SIGINT");
  const { code, stderr } = await over;
  assert.deepEqual([code, stderr], [130, ""]);
});

test("tree over a Unix socket, and of a home whose threads nobody loads", async (t) => {
  const folder = await tempFolder(t);
  const socket = join(folder, "skein.sock");
  const { lead } = await running(t, `unix://${socket}`);
  assert.ok((await skein(["tree", "--connect", `unix:${socket}`, "--json"])).stdout.includes(lead.id));
  const home = await homeOfOne(t);
  assert.match((await skein(["tree", "--home", home])).stdout, /^· hello there/);
  assert.match((await skein(["tree", "--home", join(home, "none")])).stdout, /no threads/);
});

test("top prints the figures and the threads, once in a pipe", async (t) => {
  const { url } = await running(t);
  const { code, stdout, stderr } = await skein(["top", "--connect", url, "-n", "2"]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^turns 0.* running.*3.* resident/);
  assert.match(stdout, /THREAD +ROLE +TOKENS +LAST +DOING/);
  assert.equal(stdout.trimEnd().split("\n").length, 5);
});

test("a server that is not there, and an address that is none, are said in a line", async () => {
  for (const command of ["tree", "top"]) {
    const gone = await skein([command, "--connect", "ws://127.0.0.1:1"]);
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /ws:\/\/127\.0\.0\.1:1 can't be reached/);
    assert.equal(gone.stderr.trim().split("\n").length, 1);
  }
  const wrong = await skein(["studio", "--connect", "http://x", "--no-open"]);
  assert.match(wrong.stderr, /--connect: .* must be ws:/);
  assert.match((await skein(["studio", "--listen", "ws://0.0.0.0:0"])).stderr, /whoever has the page has a shell/);
});

/** The address that a command prints, and a line to its page's server. */
async function opened(child: ReturnType<typeof start>) {
  const address = /http:\S+/.exec(await printed(child, /http:\S+\n/))?.[0] ?? "";
  const { origin, host, hash } = new URL(address);
  const headers = { authorization: `Bearer ${hash.replace("#token=", "")}` };
  const { session } = (await (await fetch(`${origin}/studio/session`, { method: "POST", headers })).json()) as {
    session: string;
  };
  const client = await clientOver(new WebSocket(`ws://${host}/studio/line`, ["skein.v2", `skein.token.${session}`]));
  await client.initialize();
  return { address, client };
}

test("studio shows a home, looking until it asks to act, and ends by Ctrl-C", async (t) => {
  const home = await tempFolder(t);
  const child = start(["studio", "--home", home, "--no-open"]);
  const over = ended(child);
  const { client } = await opened(child);
  assert.equal((await client.request("skein/info/read", {})).access, "ask");
  assert.match((await client.failure("thread/start", {})).message, /skein\/acting\/begin/);
  await client.request("skein/acting/begin", {});
  assert.ok((await client.request("thread/start", {})).thread.id);
  child.kill("SIGINT");
  assert.equal((await over).code, 130);
});

test("studio --connect --read-only shows a running app-server, and only looks", async (t) => {
  const { url, lead } = await running(t);
  const child = start(["studio", "--connect", url, "--read-only", "--no-open"]);
  const over = ended(child);
  const { client } = await opened(child);
  assert.equal((await client.request("skein/info/read", {})).access, "look");
  assert.ok(JSON.stringify(await client.request("skein/tree/read", {})).includes(lead.id));
  assert.match((await client.failure("thread/delete", { threadId: lead.id })).message, /may only look/);
  client.close();
  child.kill("SIGTERM");
  assert.equal((await over).code, 143);
});

test("demo --studio goes on, and its question can be answered", async () => {
  const child = start(["demo", "--studio", "--no-open", "--threads", "3", "--turns", "1"]);
  const over = ended(child);
  const { client } = await opened(child);
  await client.request("skein/approvals/watch", {});
  const { opened: asked } = await client.request("skein/approvals/watch", {});
  const [question] = asked.length > 0 ? asked : (await client.next("skein/approvals/changed")).params.opened;
  assert.equal(question.command, "node --version");
  const { threadId, callId } = question;
  const { answers } = await client.request("skein/approvals/answer", {
    answers: [{ threadId, callId, decision: "decline" }],
  });
  assert.equal(answers[0].outcome, "accepted");
  child.kill("SIGINT");
  assert.equal((await over).code, 130);
});

test("top --json is one object: the figures, and the threads in their order", async (t) => {
  const { url, lead } = await running(t);
  const { code, stdout } = await skein(["top", "--connect", url, "--json"]);
  assert.equal(code, 0);
  const lines = stdout.trimEnd().split("\n");
  assert.equal(lines.length, 1);
  const told = z
    .object({
      tokens: z.object({ in: z.number(), cached: z.number(), out: z.number() }),
      capacity: z.object({ residentThreads: z.object({ used: z.literal(3) }) }),
      threads: z.array(z.object({ id: z.string() })).length(3),
    })
    .parse(JSON.parse(lines[0] ?? ""));
  assert.ok(told.threads.some(({ id }) => id === lead.id));
});

test("a server that goes away while it is watched, or says what nobody understands, is said in a line", async (t) => {
  const { url, server } = await running(t);
  const child = start(["tree", "--watch", "--json", "--connect", url]);
  const over = ended(child);
  await printed(child, "Plan the flight");
  await server.close();
  const { code, stderr } = await over;
  assert.equal(code, 1, stderr);
  assert.match(stderr, /the server at ws:\S+ has gone/);
  assert.equal(stderr.trim().split("\n").length, 1);
  const strange = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => strange.close());
  await once(strange, "listening");
  const { port } = strange.address() as { port: number };
  for (const said of [
    "not json",
    '{"method":"skein/tree/changed","params":{"rows":[[1]],"patches":[],"removed":[]}}',
  ]) {
    strange.removeAllListeners("connection").on("connection", (socket) => {
      socket.on("message", (data) => {
        const { id, method } = JSON.parse(String(data)) as { id: number; method: string };
        const result = method === "skein/tree/read" ? { rows: [], nextCursor: null } : {};
        socket.send(JSON.stringify({ id, result }));
        if (method === "skein/tree/read") socket.send(said);
      });
    });
    const { code, stderr } = await skein(["tree", "--watch", "--connect", `ws://127.0.0.1:${port}`]);
    assert.equal(code, 1);
    assert.match(stderr, /what this version of skein does not understand/);
    assert.equal(stderr.trim().split("\n").length, 1);
  }
});

test("top of a home shows its threads, and what only looks goes on until it is interrupted", async (t) => {
  const home = await homeOfOne(t);
  const { code, stdout, stderr } = await skein(["top", "--home", home]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /· hello there/);
});

test("tree --watch of a home follows what another process does to it", async (t) => {
  const home = await tempFolder(t);
  const child = start(["tree", "--watch", "--json", "--home", home]);
  const over = ended(child);
  const store = fileStore({ home, fsync: "never" });
  const manager = await ThreadManager.create({ store, model: model() });
  const { thread } = await manager.startThread();
  await thread.run("said elsewhere");
  await printed(child, "said elsewhere");
  await manager.deleteThread(thread.id);
  await printed(child, new RegExp(`"${thread.id}","removed":true`));
  await manager.shutdown();
  await store.close();
  child.kill("SIGINT");
  assert.deepEqual([(await over).code, (await over).stderr], [130, ""]);
});

test("interrupted while a server does not answer, they end at once, and say nothing", async (t) => {
  const silent = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  const deaf = createServer();
  t.after(() => {
    silent.close();
    deaf.closeAllConnections();
    deaf.close();
  });
  await once(silent, "listening");
  await once(deaf.listen(0, "127.0.0.1"), "listening");
  deaf.on("upgrade", () => undefined);
  for (const server of [silent, deaf]) {
    const { port } = server.address() as { port: number };
    for (const command of [["tree"], ["tree", "--watch"], ["top"]]) {
      const asked = once(server, server === silent ? "connection" : "upgrade");
      const child = start([...command, "--connect", `ws://127.0.0.1:${port}`]);
      const over = ended(child);
      await asked;
      child.kill("SIGINT");
      const { code, stdout, stderr } = await over;
      assert.deepEqual([code, stdout, stderr], [130, "", ""], command.join(" "));
    }
  }
});

test("no width makes a line of the tree wrap, and no word of a thread moves the terminal", () => {
  const row = {
    ...{
      id: newThreadId(),
      parent: null,
      fork: null,
      model: null,
      createdAt: 0,
      tokensCached: 0,
      pending: 0,
      lastAt: 0,
    },
    ...{
      label: "\u001b[31mplan\u009b2J\r\n\u202egnp\u200f 飛行 の計画 of the flight",
      role: "work\u0007er",
      doing: "runs: \u001b]0;x\u0007ls",
    },
    ...({ status: "active" } as const),
    ...{ tokensIn: 1_234_567, tokensOut: 5 },
  } as const;
  const plain = (_format: unknown, text: string) => text;
  for (let width = 2; width <= 200; width += 1) {
    for (const depth of [0, 1, 7, 90]) {
      for (const edge of ["root", "agent", "fork"] as const) {
        const line = lineOf({ row, depth, edge }, width, plain);
        assert.ok(widthOf(line) <= width, `${width}: ${JSON.stringify(line)}`);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/);
      }
    }
  }
});

test("JSON holds nothing that a terminal obeys, and says the same", async (t) => {
  const { url, manager, lead } = await running(t);
  const label = "a\u009b31m\u202eb\u007f";
  await manager.store.rename(lead.id, label);
  const { stdout } = await skein(["tree", "--json", "--connect", url]);
  assert.doesNotMatch(stdout, /[\u007f-\u009f\u202e]/);
  assert.ok(jsonLines(stdout).some((row) => row.label === label));
});

test("studio --connect to a server that is not there, or wants a token, says so and ends", async (t) => {
  const gone = await skein(["studio", "--connect", "ws://127.0.0.1:1", "--no-open"]);
  assert.deepEqual([gone.code, gone.stdout], [1, ""]);
  assert.match(gone.stderr, /ws:\/\/127\.0\.0\.1:1 can't be reached/);
  const manager = await ThreadManager.create({ store: memoryStore(), model: model() });
  const server = createAppServer(manager, { cwd: "/w" });
  t.after(async () => {
    await server.close();
    await manager.shutdown();
  });
  const { url } = await server.listen("ws://127.0.0.1:0", {
    tokenSha256: createHash("sha256").update("a token").digest("hex"),
  });
  const refused = await skein(["studio", "--connect", url, "--no-open"]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /401.*--ws-token-file/);
});
