/**
 * The command lines and messages of OpenClaw, Happy and the Python SDK, as their sources have them, spoken by a driver: they
 * themselves need a gateway, an account or Python's registry.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Place } from "./place.ts";
import { Listener, outputOf, type Program, start, stdioClient } from "./program.ts";
import { type Json, StdioClient } from "./stdio-client.ts";
import { type Outcome, runEach } from "./step.ts";

type Line = { readonly name: string; readonly run: (program: Program, place: Place) => Promise<void> };

const textInput = (text: string) => [{ type: "text", text }];

/** What Happy says of a thread, with its nulls and the members that are no more. */
const HAPPY_THREAD = {
  ...{ model: null, modelProvider: null, profile: null, approvalPolicy: null, sandbox: null, config: null },
  ...{ baseInstructions: null, developerInstructions: null, compactPrompt: null, includeApplyPatchTool: null },
  ...{ experimentalRawEvents: false, persistExtendedHistory: true },
};

/** The Python SDK's ids are texts, its params never absent, and it says `initialized` with some. */
async function pythonClient(program: Program, place: Place, config: readonly string[]): Promise<StdioClient> {
  const overrides = config.flatMap((each) => ["--config", each]);
  const client = new StdioClient(start(program, place, [...overrides, "app-server", "--listen", "stdio://"]), {
    ids: "texts",
  });
  const clientInfo = { name: "codex_python_sdk", title: "Codex Python SDK", version: "0.163.0" };
  await client.ask("initialize", { clientInfo, capabilities: { experimentalApi: true } });
  client.send({ method: "initialized", params: {} });
  return client;
}

const LINES: readonly Line[] = [
  {
    name: "OpenClaw: overrides behind app-server, switches before and behind it",
    run: async (program, place) => {
      const lines = [
        ["app-server", "-c", 'model="chosen"', "--listen", "stdio://"],
        ["app-server", "--config", 'model="chosen"', "--enable", "goals", "--listen", "stdio://"],
        ["--enable", "goals", "-c", 'model="other"', "app-server", "--disable", "apps", "-c", 'model="chosen"'],
        ["-c", 'model="other"', "--config", 'model="chosen"', "app-server", "--analytics-default-enabled"],
        ['--config=model="chosen"', "app-server", "--listen=stdio://"],
      ];
      for (const line of lines) {
        await using client = await stdioClient(program, place, line);
        assert.equal((await client.ask("thread/start", { cwd: place.work })).model, "chosen", line.join(" "));
      }
    },
  },
  {
    name: "OpenClaw: asks login status with the server's overrides",
    run: async (program, place) => {
      for (const line of [
        ["-c", 'model="x"'],
        ["--enable", "goals"],
        ["--config", 'model_provider="mock"'],
      ]) {
        const { status, text } = outputOf(program, place, [...line, "login", "status"]);
        assert.deepEqual([status, /not logged in/i.test(text)], [1, true], `${line}: ${text}`);
      }
    },
  },
  {
    name: "OpenClaw: what it reads before and beside a thread",
    run: async (program, place) => {
      await using client = await stdioClient(program, place, ["app-server", "--listen", "stdio://"]);
      const { thread } = await client.ask("thread/start", { cwd: place.work, config: { "features.apps": false } });
      const threadId: string = thread.id;
      await client.turn(threadId, "hello");
      await client.ask("account/read", { refreshToken: false });
      await client.ask("config/read", { includeLayers: true, cwd: place.work });
      await client.ask("configRequirements/read", null);
      for (const method of [
        "model/list",
        "experimentalFeature/list",
        "app/installed",
        "modelProvider/capabilities/read",
      ])
        await client.ask(method, {});
      await client.ask("skills/list", { cwds: [place.work] });
      await client.ask("hooks/list", { cwds: [place.work] });
      await client.ask("plugin/installed", {});
      await client.ask("thread/loaded/list", {});
      await client.ask("thread/backgroundTerminals/list", { threadId });
      await client.ask("thread/turns/list", { threadId, limit: 5, sortDirection: "desc" });
      await client.ask("thread/unsubscribe", { threadId });
      await client.ask("thread/archive", { threadId });
      assert.deepEqual(client.failed, []);
    },
  },
  {
    name: "Happy: a thread by its params, a turn, and a goal",
    run: async (program, place) => {
      const [, minor] = /codex-cli 0\.(\d+)\.\d+/.exec(outputOf(program, place, ["--version"]).text) ?? [];
      assert.ok(Number(minor) >= 140, "goals are off before 0.140");
      await using client = await stdioClient(program, place, ["app-server", "--listen", "stdio://"]);
      const { thread } = await client.ask("thread/start", { ...HAPPY_THREAD, cwd: place.work });
      await client.turn(thread.id, "hello");
      const goal = { threadId: thread.id, objective: "an end", status: "paused", tokenBudget: 1_000 };
      assert.equal((await client.ask("thread/goal/set", goal)).goal.objective, "an end");
      assert.equal((await client.ask("thread/goal/clear", { threadId: thread.id })).cleared, true);
      assert.deepEqual(client.failed, []);
    },
  },
  {
    name: "Happy: begins its server anew, and resumes the thread; forks it, reads it",
    run: async (program, place) => {
      let threadId = "";
      {
        await using client = await stdioClient(program, place, ["app-server", "--listen", "stdio://"]);
        threadId = (await client.ask("thread/start", { ...HAPPY_THREAD, cwd: place.work })).thread.id;
        await client.turn(threadId, "first");
        await client.turn(threadId, "second");
      }
      await using client = await stdioClient(program, place, ["app-server", "--listen", "stdio://"]);
      const { compactPrompt, includeApplyPatchTool, ...resumed } = HAPPY_THREAD;
      await client.ask("thread/resume", { ...resumed, threadId, cwd: place.work });
      await client.turn(threadId, "third");
      const fork = await client.ask("thread/fork", { threadId, cwd: place.work, ephemeral: false, threadSource: null });
      await client.turn(fork.thread.id, "in the fork");
      const { thread } = await client.ask("thread/read", { threadId, includeTurns: true });
      assert.equal(thread.turns.length, 3);
      assert.deepEqual(client.failed, []);
    },
  },
  {
    name: "Python SDK: ids that are texts, and every call that it has",
    run: async (program, place) => {
      const overrides = ['model_reasoning_effort="high"', 'model="chosen"'];
      await using client = await pythonClient(program, place, overrides);
      const started = await client.ask("thread/start", { cwd: place.work });
      assert.deepEqual([started.model, started.reasoningEffort], ["chosen", "high"]);
      const threadId: string = started.thread.id;
      await client.turn(threadId, "hello");
      const { turn } = await client.ask("turn/start", { threadId, input: textInput("wait for me") });
      await client.nth("item/agentMessage/delta", (told) => told.turnId === turn.id);
      await client.ask("turn/steer", { threadId, expectedTurnId: turn.id, input: textInput("go on") });
      await client.ask("turn/interrupt", { threadId, turnId: turn.id });
      await client.nth("turn/completed", (told) => told.turn.id === turn.id);
      await client.ask("thread/name/set", { threadId, name: "named" });
      const fork = await client.ask("thread/fork", { threadId });
      await client.turn(fork.thread.id, "in the fork");
      await client.ask("model/list", { includeHidden: false });
      const { data } = await client.ask("thread/list", {});
      assert.deepEqual(data.map(({ id }: Json) => id).sort(), [threadId, fork.thread.id].sort());
      await client.ask("thread/compact/start", { threadId });
      await client.nth("item/completed", ({ item }) => item.type === "contextCompaction");
      await client.ask("thread/archive", { threadId });
      await client.ask("thread/unarchive", { threadId });
      await client.ask("thread/resume", { threadId });
      assert.deepEqual(client.failed, []);
    },
  },
  {
    name: "Python SDK: closes its input and sends SIGTERM: the server ends by itself",
    run: async (program, place) => {
      const child = start(program, place, ["app-server", "--listen", "stdio://"]);
      const client = new StdioClient(child);
      await client.ask("initialize", { clientInfo: { name: "codex_python_sdk", version: "1" } });
      const exited = once(child, "exit", { signal: AbortSignal.timeout(10_000) });
      child.stdin?.end();
      child.kill("SIGTERM");
      await exited;
    },
  },
  {
    name: "the server is killed in a turn, over stdio: the client begins it anew, resumes and goes on",
    run: async (program, place) => {
      const child = start(program, place, ["app-server"]);
      const first = new StdioClient(child);
      await first.ask("initialize", { clientInfo: { name: "driver", version: "1" } });
      const { thread } = await first.ask("thread/start", { cwd: place.work });
      await first.turn(thread.id, "remember");
      await first.ask("turn/start", { threadId: thread.id, input: textInput("wait for the end") });
      await first.nth("item/agentMessage/delta", (told) => told.delta === "waiting");
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
      await using again = await stdioClient(program, place, ["app-server"]);
      await goesOn(again, thread.id, place);
    },
  },
  {
    name: "the server is killed in a turn, with two clients: both come back to the thread",
    run: async (program, place) => {
      let server = await Listener.start(program, place);
      const first = await server.client("first");
      const { thread } = await first.ask("thread/start", { cwd: place.work });
      await first.turn(thread.id, "remember");
      const second = await server.client("second");
      await second.ask("thread/resume", { threadId: thread.id });
      await first.ask("turn/start", { threadId: thread.id, input: textInput("wait for the end") });
      await second.nth("item/agentMessage/delta", (told) => told.delta === "waiting");
      await server.kill();
      server = await Listener.start(program, place, server.url);
      await using _ = server;
      await using again = await server.client("second");
      await using other = await server.client("first");
      await other.ask("thread/resume", { threadId: thread.id });
      await goesOn(again, thread.id, place);
      await other.nth("turn/completed", (told) => told.turn.status === "completed");
    },
  },
];

/** The turn that was cut is no longer running, and the next one knows what was said. */
async function goesOn(client: StdioClient, threadId: string, { model }: Place): Promise<void> {
  const { thread } = await client.ask("thread/resume", { threadId });
  assert.deepEqual(
    thread.turns.map(({ status }: Json) => status),
    ["completed", "interrupted"],
  );
  await client.turn(threadId, "and on");
  const last = JSON.stringify(model.requests.at(-1));
  for (const text of ["ack: remember", "wait for the end", "and on"]) assert.ok(last.includes(text), text);
}

export function checkLines(program: Program): Promise<Outcome[]> {
  return runEach(
    LINES.map(({ name, run }) => ({
      name,
      run: async () => {
        await using place = await Place.create();
        await run(program, place);
      },
    })),
  );
}
