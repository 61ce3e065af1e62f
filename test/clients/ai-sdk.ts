/** The AI SDK's provider for Codex on a program: a process for each call (`exec`), and one for all (`app-server`). */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4StreamPart } from "@ai-sdk/provider";
import { installedClient } from "./installed.ts";
import { Place } from "./place.ts";
import { executable, type Program } from "./program.ts";
import { type Outcome, runEach } from "./step.ts";

const PROVIDER = "ai-sdk-provider-codex-cli";
const MODEL = "gpt-6.1-sol";
const MODE = "codex-app-server";

type Models = ((model: string, settings?: object) => LanguageModelV4) & {
  listModels(): Promise<{ models: { id: string }[] }>;
  close(): Promise<void>;
};
type Sdk = {
  createCodexAppServer(options: { defaultSettings: object }): Models;
  codexExec(model: string, settings: object): LanguageModelV4;
};

const asking = (text: string, settings: object = {}): LanguageModelV4CallOptions =>
  ({
    prompt: [{ role: "user", content: [{ type: "text", text }] }],
    providerOptions: { [MODE]: settings },
  }) as LanguageModelV4CallOptions;

const textOf = (content: readonly { type: string; text?: string }[]): string =>
  content.map((part) => (part.type === "text" ? part.text : "")).join("");

async function streamed(
  model: LanguageModelV4,
  options: LanguageModelV4CallOptions,
): Promise<LanguageModelV4StreamPart[]> {
  const { stream } = await model.doStream(options);
  const parts: LanguageModelV4StreamPart[] = [];
  for await (const part of stream as unknown as AsyncIterable<LanguageModelV4StreamPart>) parts.push(part);
  return parts;
}

/** undefined where the provider can't be installed. */
export async function checkAiSdk(program: Program): Promise<Outcome[] | undefined> {
  const installed = installedClient(`${PROVIDER}@2.2.1`);
  if (installed === undefined) return undefined;
  const sdk = (await import(pathToFileURL(join(installed, PROVIDER, "dist/index.js")).href)) as Sdk;
  await using place = await Place.create();
  const warnings: string[] = [];
  const warn = (text: string) => void warnings.push(text);
  const logger = { debug: () => {}, info: () => {}, warn, error: warn };
  const settings = { codexPath: executable(program, place), cwd: place.work, env: place.env, logger };
  const open = () => sdk.createCodexAppServer({ defaultSettings: settings });
  const models = open();
  try {
    return await runEach([
      {
        name: "a process for each call: generates, streams",
        run: async () => {
          const model = sdk.codexExec(MODEL, {
            ...settings,
            skipGitRepoCheck: true,
            sandboxMode: "danger-full-access",
          });
          assert.equal(textOf((await model.doGenerate(asking("by exec"))).content), "ack: by exec");
          const parts = await streamed(model, asking("run echo from-exec"));
          assert.ok(JSON.stringify(parts).includes("from-exec"));
          assert.equal(parts.at(-1)?.type, "finish");
        },
      },
      {
        name: "the version is taken, and models are listed",
        run: async () => {
          const { models: rows } = await models.listModels();
          assert.ok(rows.length > 0);
          assert.deepEqual(warnings, []);
        },
      },
      {
        name: "generates, with usage",
        run: async () => {
          const { content, finishReason, usage } = await models(MODEL).doGenerate(asking("hello there"));
          assert.equal(textOf(content), "ack: hello there");
          assert.equal(finishReason.unified, "stop");
          assert.equal(usage.inputTokens.total, 100);
        },
      },
      {
        name: "streams its answer in pieces, and a command with its output",
        run: async () => {
          const parts = await streamed(models(MODEL), asking("hello in pieces"));
          assert.ok(parts.filter(({ type }) => type === "text-delta").length > 1);
          const called = JSON.stringify(await streamed(models(MODEL), asking("run echo from-a-tool")));
          assert.match(called, /"type":"tool-call"/);
          assert.match(called, /from-a-tool/);
        },
      },
      {
        name: "a thread that stays, and goes on by its id in another process",
        run: async () => {
          let threadId = "";
          for (const words of ["remember", "and on"]) {
            const own = open();
            const going = threadId === "" ? { threadMode: "persistent" } : { threadId };
            const { providerMetadata } = await own(MODEL).doGenerate(asking(words, going));
            await own.close();
            threadId = String(providerMetadata?.[MODE]?.threadId ?? "");
            assert.match(threadId, /^[0-9a-f-]{36}$/);
          }
          assert.match(JSON.stringify(place.model.requests.at(-1)), /ack: remember/);
        },
      },
      {
        name: "an approval that the caller answers",
        run: async () => {
          const asked: string[] = [];
          const onCommandExecutionApproval = async ({ params }: { params: { command?: string } }) => {
            asked.push(String(params.command));
            return { decision: "accept" };
          };
          const careful = { approvalPolicy: "untrusted", sandboxPolicy: "danger-full-access" };
          const options = asking("run touch asked.txt", { ...careful, serverRequests: { onCommandExecutionApproval } });
          await models(MODEL).doGenerate(options);
          assert.equal(asked.length, 1);
          assert.ok(existsSync(join(place.work, "asked.txt")));
        },
      },
      {
        name: "what is aborted ends, and the process serves on",
        run: async () => {
          const abort = new AbortController();
          const { stream } = await models(MODEL).doStream({ ...asking("wait for it"), abortSignal: abort.signal });
          await assert.rejects(async () => {
            for await (const part of stream as unknown as AsyncIterable<LanguageModelV4StreamPart>) {
              if (part.type === "text-delta") abort.abort();
              if (part.type === "error") throw part.error;
            }
          });
          assert.equal(textOf((await models(MODEL).doGenerate(asking("after it"))).content), "ack: after it");
        },
      },
      {
        name: "a failure of the model is told",
        run: () => assert.rejects(async () => models(MODEL).doGenerate(asking("fail please")), /it failed/),
      },
    ]);
  } finally {
    await models.close();
  }
}
