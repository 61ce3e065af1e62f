/** What clients of Codex begin with. The clients themselves are not run here: a driver speaks their command lines and handshakes. */
import assert from "node:assert/strict";
import { Place } from "./place.ts";
import { Listener, outputOf, type Program, stdioClient } from "./program.ts";
import type { Json } from "./stdio-client.ts";
import { type Outcome, runEach } from "./step.ts";

type Door = { readonly name: string; readonly run: (program: Program, place: Place) => Promise<void> };

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

const textInput = (text: string) => [{ type: "text", text, text_elements: [] }];

/** What the last request to the model says, as text. */
const lastRequest = ({ model }: Place): string => JSON.stringify(model.requests.at(-1) ?? null);

const DOORS: readonly Door[] = [
  {
    name: "Happy: the version line names 0.100 or later",
    run: async (program, place) => {
      const { text } = outputOf(program, place, ["--version"]);
      const [, minor] = /codex-cli 0\.(\d+)\.\d+/.exec(text) ?? [];
      assert.ok(Number(minor) >= 100, text);
    },
  },
  {
    name: "OpenClaw: options before app-server take effect",
    run: async (program, place) => {
      const args = ["-c", 'model="chosen"', "app-server", "--listen", "stdio://", "--analytics-default-enabled"];
      await using client = await stdioClient(program, place, args);
      assert.equal((await client.ask("thread/start", { cwd: place.work })).model, "chosen");
    },
  },
  {
    name: "Python SDK: --config before app-server, a thread and a turn",
    run: async (program, place) => {
      const args = ["--config", 'model_reasoning_effort="high"', "app-server", "--listen", "stdio://"];
      await using client = await stdioClient(program, place, args);
      const { thread, reasoningEffort } = await client.ask("thread/start", { cwd: place.work });
      assert.equal(reasoningEffort, "high");
      await client.turn(thread.id, "hello");
    },
  },
  {
    name: "login status: says that nobody is signed in, and fails",
    run: async (program, place) => {
      const { status, text } = outputOf(program, place, ["login", "status"]);
      assert.deepEqual([status, /not logged in/i.test(text)], [1, true], text);
    },
  },
  {
    name: "review/start: entered, exited, completed",
    run: async (program, place) => {
      await using client = await stdioClient(program, place, ["app-server"]);
      const { thread } = await client.ask("thread/start", { cwd: place.work });
      const target = { type: "custom", instructions: "look at it" };
      const { turn } = await client.ask("review/start", { threadId: thread.id, target });
      await client.nth("item/completed", ({ item }) => item.type === "enteredReviewMode");
      await client.nth("item/completed", ({ item }) => item.type === "exitedReviewMode");
      const { params } = await client.nth("turn/completed", (told) => told.turn.id === turn.id);
      assert.equal(params.turn.status, "completed");
    },
  },
  {
    name: "an interrupt is told to the model, after a resume by another process too",
    run: async (program, place) => {
      let threadId = "";
      {
        await using client = await stdioClient(program, place, ["app-server"]);
        const { thread } = await client.ask("thread/start", { cwd: place.work });
        threadId = thread.id;
        const { turn } = await client.ask("turn/start", { threadId, input: textInput("wait for it") });
        await client.nth("item/agentMessage/delta", () => true);
        await client.ask("turn/interrupt", { threadId, turnId: turn.id });
        await client.nth("turn/completed", (told) => told.turn.status === "interrupted");
        await client.turn(threadId, "go on");
        assert.match(lastRequest(place), /<turn_aborted>/);
      }
      await using client = await stdioClient(program, place, ["app-server"]);
      await client.ask("thread/resume", { threadId });
      await client.turn(threadId, "and on");
      assert.equal(lastRequest(place).split("<turn_aborted>").length, 2);
    },
  },
  {
    name: "two clients on one thread: both see the turn, either may interrupt it",
    run: async (program, place) => {
      await using server = await Listener.start(program, place);
      await using first = await server.client("first");
      await using second = await server.client("second");
      const { thread } = await first.ask("thread/start", { cwd: place.work });
      const threadId: string = thread.id;
      await first.turn(threadId, "hello");
      await second.ask("thread/resume", { threadId });
      const { turn } = await first.ask("turn/start", { threadId, input: textInput("wait for both") });
      for (const client of [first, second])
        await client.nth("item/agentMessage/delta", (told) => told.turnId === turn.id);
      await second.ask("turn/interrupt", { threadId, turnId: turn.id });
      for (const client of [first, second]) {
        await client.nth("turn/completed", (told) => told.turn.id === turn.id && told.turn.status === "interrupted");
      }
    },
  },
  {
    name: "a client that went and comes back: the turn has run on",
    run: async (program, place) => {
      await using server = await Listener.start(program, place);
      const first = await server.client("first");
      const { thread } = await first.ask("thread/start", { cwd: place.work });
      const { turn } = await first.ask("turn/start", { threadId: thread.id, input: textInput("wait for me") });
      await first.nth("item/agentMessage/delta", () => true);
      await first[Symbol.asyncDispose]();
      await using again = await server.client("first");
      const resumed = await again.ask("thread/resume", { threadId: thread.id });
      assert.equal(resumed.thread.turns.at(-1)?.status, "inProgress");
      place.model.release();
      const { params } = await again.nth("turn/completed", (told) => told.turn.id === turn.id);
      assert.equal(params.turn.status, "completed");
    },
  },
  {
    name: "an approval left by a client that went is asked of the next one",
    run: async (program, place) => {
      await using server = await Listener.start(program, place);
      const first = await server.client("first");
      first.decision = undefined;
      const settings = { cwd: place.work, approvalPolicy: "untrusted", sandbox: "danger-full-access" };
      const { thread } = await first.ask("thread/start", settings);
      const { turn } = await first.ask("turn/start", { threadId: thread.id, input: textInput("run touch asked.txt") });
      const asked = await first.nth("item/commandExecution/requestApproval", () => true);
      await first[Symbol.asyncDispose]();
      await using second = await server.client("second");
      await second.ask("thread/resume", { threadId: thread.id });
      const again = await second.nth("item/commandExecution/requestApproval", () => true);
      assert.equal(again.params.itemId, asked.params.itemId);
      const { params } = await second.nth("turn/completed", (told) => told.turn.id === turn.id);
      assert.equal(params.turn.status, "completed");
    },
  },
  {
    name: "a tool that the client brings: asked of it, also after a resume by another process",
    run: async (program, place) => {
      const name = "lookup";
      const spec = { type: "function", name, description: "Looks something up.", inputSchema: { type: "object" } };
      let threadId = "";
      for (const round of ["first", "second"]) {
        await using client = await stdioClient(program, place, ["app-server"]);
        client.toolAnswer = { success: true, contentItems: [{ type: "inputText", text: `found by the ${round}` }] };
        if (threadId === "") {
          threadId = (await client.ask("thread/start", { cwd: place.work, dynamicTools: [spec] })).thread.id;
        } else await client.ask("thread/resume", { threadId });
        await client.turn(threadId, `call ${name}`);
        assert.match(lastRequest(place), new RegExp(`found by the ${round}`));
      }
    },
  },
  {
    name: "what the client tells beside the user's words reaches the model, once",
    run: async (program, place) => {
      await using client = await stdioClient(program, place, ["app-server"]);
      const { thread } = await client.ask("thread/start", { cwd: place.work });
      const additionalContext = { page: { kind: "untrusted", value: "THE PAGE" } };
      for (const words of ["one", "two"]) {
        const input = textInput(words);
        const { turn } = await client.ask("turn/start", { threadId: thread.id, input, additionalContext });
        await client.nth("turn/completed", (told) => told.turn.id === turn.id);
      }
      assert.equal(lastRequest(place).split("THE PAGE").length, 2);
    },
  },
  {
    name: "a thread that begins with a picture is listed",
    run: async (program, place) => {
      await using client = await stdioClient(program, place, ["app-server"]);
      const { thread } = await client.ask("thread/start", { cwd: place.work });
      const input = [{ type: "image", url: `data:image/png;base64,${PIXEL}` }];
      const { turn } = await client.ask("turn/start", { threadId: thread.id, input });
      await client.nth("turn/completed", (told) => told.turn.id === turn.id);
      const { data } = await client.ask("thread/list", {});
      assert.deepEqual(
        data.map(({ preview }: Json) => preview),
        ["[Image]"],
      );
    },
  },
];

/** The doors asked for by words of their names; else all. */
const asked = DOORS.filter(({ name }) => !process.env.DOOR || name.includes(process.env.DOOR));

export function checkDoors(program: Program): Promise<Outcome[]> {
  return runEach(
    asked.map(({ name, run }) => ({
      name,
      run: async () => {
        await using place = await Place.create();
        await run(program, place);
      },
    })),
  );
}
