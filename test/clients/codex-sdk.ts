/** The real `@openai/codex-sdk` on a program, without the binary that it comes with. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { mockProviderToml } from "../mock-provider.ts";
import {
  answering,
  completed,
  created,
  ModelServer,
  message,
  type Reply,
  sse,
  streaming,
  wholeAnswer,
} from "../model/model-server.ts";
import { installedClient } from "./installed.ts";
import { executable, type Program } from "./program.ts";
import { type Outcome, runEach } from "./step.ts";

const SDK = "@openai/codex-sdk@0.163.0";
const DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

type Item = { id: string; type: string; [field: string]: unknown };
type SdkEvent = { type: string; item?: Item; [field: string]: unknown };
type Input = string | { type: "text" | "local_image"; text?: string; path?: string }[];
type TurnOptions = { outputSchema?: unknown; signal?: AbortSignal };
type Turn = { items: Item[]; finalResponse: string; usage: Record<string, number> | null };
type SdkThread = {
  readonly id: string | null;
  run(input: Input, options?: TurnOptions): Promise<Turn>;
  runStreamed(input: Input, options?: TurnOptions): Promise<{ events: AsyncGenerator<SdkEvent> }>;
};
type Codex = {
  startThread(options?: object): SdkThread;
  resumeThread(id: string, options?: object): SdkThread;
};
type Sdk = { Codex: new (options: object) => Codex };

/** The SDK, installed first if it isn't there; undefined where that can't be done. */
async function installedSdk(): Promise<Sdk | undefined> {
  const installed = installedClient(SDK);
  if (installed === undefined) return undefined;
  return (await import(pathToFileURL(join(installed, "@openai/codex-sdk/dist/index.js")).href)) as Sdk;
}

/** The SDK and the program that it is to run. */
type Tried = { readonly sdk: Sdk; readonly program: Program };

/** One home, one work folder, a model double with these replies, and the SDK on the program over them. */
class Stage implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "skein-codex-sdk-"));
  readonly server: ModelServer;
  readonly codex: Codex;

  private constructor({ sdk, program }: Tried, server: ModelServer) {
    this.server = server;
    const home = join(this.folder, "home");
    for (const name of ["home", "tmp"]) mkdirSync(join(this.folder, name));
    const provider = mockProviderToml(server.baseUrl).replace(
      'name = "mock"',
      'name = "mock"\nenv_key = "CODEX_API_KEY"',
    );
    writeFileSync(join(home, "config.toml"), provider);
    const codexPathOverride = executable(program, { folder: this.folder, home });
    // Stock Codex has no sandbox where its home lies in the folder for temporary files.
    const env = { PATH: process.env.PATH ?? "", HOME: this.folder, CODEX_HOME: home, TMPDIR: join(this.folder, "tmp") };
    this.codex = new sdk.Codex({ codexPathOverride, apiKey: "sk-sdk", env });
  }

  static async open(tried: Tried, ...replies: Reply[]): Promise<Stage> {
    return new Stage(tried, await ModelServer.start(...replies));
  }

  get options(): object {
    return { workingDirectory: this.folder, skipGitRepoCheck: true, model: "gpt-6.1-sol" };
  }

  body(at: number): {
    text?: { format: { schema: unknown } };
    reasoning?: { effort: string };
    [field: string]: unknown;
  } {
    return JSON.parse(this.server.requests[at]?.body ?? "null");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const call = (name: string, args: object) => ({
  type: "response.output_item.done",
  item: { type: "function_call", id: "fc_1", call_id: `c_${name}`, name, arguments: JSON.stringify(args) },
});

const patchCall = (input: string) => ({
  type: "response.output_item.done",
  item: { type: "custom_tool_call", id: "ct_1", call_id: "c_patch", name: "apply_patch", input },
});

const CHECKS: Record<string, (tried: Tried) => Promise<void>> = {
  "a new thread, a second turn of it, and a resume by id": async (tried) => {
    await using stage = await Stage.open(tried, streaming(wholeAnswer("one")), streaming(wholeAnswer("two")));
    const thread = stage.codex.startThread(stage.options);
    const turn = await thread.run("hi");
    assert.equal(turn.finalResponse, "one");
    const said = turn.items.filter(({ type }) => type !== "error").map(({ type, text }) => ({ type, text }));
    assert.deepEqual(said, [{ type: "agent_message", text: "one" }]);
    assert.equal(turn.usage?.input_tokens, 10);
    assert.match(thread.id ?? "", /^[0-9a-f-]{36}$/);
    assert.equal((await thread.run("and now?")).finalResponse, "two");
    const resumed = stage.codex.resumeThread(thread.id ?? "", stage.options);
    await resumed.run("still there?");
    assert.equal(resumed.id, thread.id);
    const { authorization, originator } = stage.server.requests[0]?.headers ?? {};
    assert.deepEqual([authorization, originator], ["Bearer sk-sdk", "codex_sdk_ts"]);
    for (const text of ["hi", "one", "and now?", "two", "still there?"]) {
      assert.ok(JSON.stringify(stage.body(2).input).includes(JSON.stringify(text)), text);
    }
  },

  "a streamed run with a command and a patch, under every option of a thread": async (tried) => {
    const patch = "*** Begin Patch\n*** Add File: new.txt\n+text\n*** End Patch";
    await using stage = await Stage.open(
      tried,
      streaming(sse(created, call("exec_command", { cmd: "echo out", login: false }), completed)),
      streaming(sse(created, patchCall(patch), completed)),
      streaming(wholeAnswer("done")),
    );
    const thread = stage.codex.startThread({
      ...stage.options,
      sandboxMode: "danger-full-access",
      additionalDirectories: ["/srv"],
      modelReasoningEffort: "high",
      networkAccessEnabled: true,
      webSearchMode: "disabled",
      approvalPolicy: "never",
      threadSource: "user",
    });
    const { events } = await thread.runStreamed("go");
    const seen: string[] = [];
    for await (const { type, item } of events) {
      if (item?.type !== "error") seen.push(item === undefined ? type : `${type} ${item.type}`);
    }
    assert.deepEqual(seen, [
      "thread.started",
      "turn.started",
      "item.started command_execution",
      "item.completed command_execution",
      "item.started file_change",
      "item.completed file_change",
      "item.completed agent_message",
      "turn.completed",
    ]);
    assert.ok(existsSync(join(stage.folder, "new.txt")));
    assert.equal(stage.body(0).reasoning?.effort, "high");
  },

  "an output schema": async (tried) => {
    await using stage = await Stage.open(tried, streaming(wholeAnswer('{"a":1}')));
    const outputSchema = { type: "object", properties: { a: { type: "number" } } };
    const turn = await stage.codex.startThread(stage.options).run("a?", { outputSchema });
    assert.deepEqual(JSON.parse(turn.finalResponse), { a: 1 });
    assert.deepEqual(stage.body(0).text?.format.schema, outputSchema);
  },

  "an image, in a new thread and in a resumed one": async (tried) => {
    await using stage = await Stage.open(tried, streaming(wholeAnswer("a dot")));
    const path = join(stage.folder, "dot.png");
    writeFileSync(path, Buffer.from(DOT, "base64"));
    const thread = stage.codex.startThread(stage.options);
    for (const at of [0, 1]) {
      await thread.run([
        { type: "text", text: "what is it?" },
        { type: "local_image", path },
      ]);
      assert.equal(JSON.stringify(stage.body(at)).split("data:image/png;base64,").length - 1, at + 1);
    }
  },

  "an abort ends the run and the command; the thread goes on": async (tried) => {
    const partial = sse(created, ...message("so far").slice(0, 2));
    await using stage = await Stage.open(
      tried,
      (response) => void response.writeHead(200, { "content-type": "text/event-stream" }).write(partial),
      streaming(wholeAnswer("back")),
    );
    const abort = new AbortController();
    const thread = stage.codex.startThread(stage.options);
    const { events } = await thread.runStreamed("hi", { signal: abort.signal });
    await assert.rejects(
      async () => {
        for await (const { type } of events) if (type === "turn.started") abort.abort();
      },
      { name: "AbortError" },
    );
    await stage.server.disconnected();
    assert.equal((await stage.codex.resumeThread(thread.id ?? "", stage.options).run("again")).finalResponse, "back");
  },

  "a failed turn, and a thread that is not there": async (tried) => {
    await using stage = await Stage.open(tried, answering(400, { error: { message: "no such model" } }));
    await assert.rejects(stage.codex.startThread(stage.options).run("hi"), /no such model/);
    const gone = stage.codex.resumeThread("0192aaaa-0000-7000-8000-000000000000", stage.options);
    await assert.rejects(gone.run("hi"), /exited with code 1: .*0192aaaa/s);
  },
};

/** undefined where the SDK can't be installed. */
export async function checkCodexSdk(program: Program): Promise<Outcome[] | undefined> {
  const sdk = await installedSdk();
  if (sdk === undefined) return undefined;
  return await runEach(Object.entries(CHECKS).map(([name, check]) => ({ name, run: () => check({ sdk, program }) })));
}
