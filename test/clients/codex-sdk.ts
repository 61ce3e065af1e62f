/**
 * The real `@openai/codex-sdk` on Skein. Not part of `npm test`: installs the SDK from npm into `.cache/` (without the
 * binary that it comes with), and skips, saying so, where it can't. `node test/clients/codex-sdk.ts`
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
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

const SDK = "@openai/codex-sdk@0.163.0";
const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
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
  const folder = fileURLToPath(new URL("../../.cache/codex-sdk", import.meta.url));
  const entry = join(folder, "node_modules/@openai/codex-sdk/dist/index.js");
  if (!existsSync(entry)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{"private":true}\n');
    const options = ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"];
    spawnSync("npm", ["install", ...options, SDK], { cwd: folder, stdio: "ignore", timeout: 120_000 });
  }
  return existsSync(entry) ? ((await import(pathToFileURL(entry).href)) as Sdk) : undefined;
}

/** One home, one work folder, a model double with these replies, and the SDK on Skein over them. */
class Stage implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "skein-codex-sdk-"));
  readonly server: ModelServer;
  readonly codex: Codex;

  private constructor(sdk: Sdk, server: ModelServer) {
    this.server = server;
    const program = join(this.folder, "skein");
    writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
    chmodSync(program, 0o755);
    const env = { PATH: process.env.PATH ?? "", HOME: this.folder, CODEX_HOME: join(this.folder, "home") };
    this.codex = new sdk.Codex({ codexPathOverride: program, baseUrl: server.baseUrl, apiKey: "sk-sdk", env });
  }

  static async open(sdk: Sdk, ...replies: Reply[]): Promise<Stage> {
    return new Stage(sdk, await ModelServer.start(...replies));
  }

  get options(): object {
    return { workingDirectory: this.folder, skipGitRepoCheck: true, model: "gpt-5.2" };
  }

  body(at: number): { text?: { format: { schema: unknown } }; [field: string]: unknown } {
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

const CHECKS: Record<string, (sdk: Sdk) => Promise<void>> = {
  "a new thread, a second turn of it, and a resume by id": async (sdk) => {
    await using stage = await Stage.open(sdk, streaming(wholeAnswer("one")), streaming(wholeAnswer("two")));
    const thread = stage.codex.startThread(stage.options);
    const turn = await thread.run("hi");
    assert.equal(turn.finalResponse, "one");
    assert.deepEqual(turn.items, [{ id: "item_0", type: "agent_message", text: "one" }]);
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

  "a streamed run with a plan, a command and a patch, under every option of a thread": async (sdk) => {
    const patch = "*** Begin Patch\n*** Add File: new.txt\n+text\n*** End Patch";
    await using stage = await Stage.open(
      sdk,
      streaming(sse(created, call("update_plan", { plan: [{ step: "do", status: "in_progress" }] }), completed)),
      streaming(sse(created, call("shell_command", { command: "echo out" }), completed)),
      streaming(sse(created, call("apply_patch", { input: patch }), completed)),
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
    for await (const { type, item } of events) seen.push(item === undefined ? type : `${type} ${item.type}`);
    assert.deepEqual(seen, [
      "thread.started",
      "turn.started",
      "item.started todo_list",
      "item.started command_execution",
      "item.completed command_execution",
      "item.completed file_change",
      "item.completed agent_message",
      "item.completed todo_list",
      "turn.completed",
    ]);
    assert.ok(existsSync(join(stage.folder, "new.txt")));
    assert.deepEqual(stage.body(0).reasoning, { effort: "high", summary: "auto" });
  },

  "an output schema": async (sdk) => {
    await using stage = await Stage.open(sdk, streaming(wholeAnswer('{"a":1}')));
    const outputSchema = { type: "object", properties: { a: { type: "number" } } };
    const turn = await stage.codex.startThread(stage.options).run("a?", { outputSchema });
    assert.deepEqual(JSON.parse(turn.finalResponse), { a: 1 });
    assert.deepEqual(stage.body(0).text?.format.schema, outputSchema);
  },

  "an image, in a new thread and in a resumed one": async (sdk) => {
    await using stage = await Stage.open(sdk, streaming(wholeAnswer("a dot")));
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

  "an abort ends the run and the command; the thread goes on": async (sdk) => {
    const partial = sse(created, ...message("so far").slice(0, 2));
    await using stage = await Stage.open(
      sdk,
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

  "a failed turn, and a thread that is not there": async (sdk) => {
    await using stage = await Stage.open(sdk, answering(400, { error: { message: "no such model" } }));
    await assert.rejects(stage.codex.startThread(stage.options).run("hi"), /no such model/);
    const gone = stage.codex.resumeThread("0192aaaa-0000-7000-8000-000000000000", stage.options);
    await assert.rejects(gone.run("hi"), /exited with code 1: .*0192aaaa/s);
  },
};

/** Runs every check, and gives what went wrong; undefined where the SDK can't be installed. */
export async function checkCodexSdk(): Promise<string[] | undefined> {
  const sdk = await installedSdk();
  if (sdk === undefined) return undefined;
  const problems: string[] = [];
  for (const [name, check] of Object.entries(CHECKS)) {
    await check(sdk).catch((error: Error) => problems.push(`${name}: ${error.stack ?? error.message}`));
  }
  return problems;
}

if (import.meta.main) {
  const problems = await checkCodexSdk();
  const told = problems?.length === 0 ? "ok: codex-sdk" : `not ok: codex-sdk\n  ${problems?.join("\n  ")}`;
  process.stdout.write(`${problems === undefined ? `skipped: ${SDK} cannot be installed here` : told}\n`);
  if (problems !== undefined && problems.length > 0) process.exitCode = 1;
}
