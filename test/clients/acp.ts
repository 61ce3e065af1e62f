/** An editor's side of codex-acp, on a program. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { installedClient } from "./installed.ts";
import { Place } from "./place.ts";
import { executable, type Program } from "./program.ts";
import { type Json, StdioClient } from "./stdio-client.ts";
import { type Outcome, runSteps } from "./step.ts";

const CODEX_ACP = "@agentclientprotocol/codex-acp";

export async function checkAcp(program: Program): Promise<Outcome[] | undefined> {
  const installed = installedClient(`${CODEX_ACP}@2.6.0`);
  if (installed === undefined) return undefined;
  await using place = await Place.create();
  const { work: cwd, model } = place;
  const env = { ...place.env, HOME: place.client, CODEX_HOME: place.client, CODEX_PATH: executable(program, place) };
  await using client = new StdioClient(
    spawn(process.execPath, [join(installed, CODEX_ACP, "dist/index.js")], {
      cwd,
      env,
      stdio: ["pipe", "pipe", "inherit"],
    }),
    { head: { jsonrpc: "2.0" } },
  );
  const prompt = (sessionId: string, text: string) =>
    client.ask("session/prompt", { sessionId, prompt: [{ type: "text", text }] });
  const hear = (text: string) =>
    client.nth("session/update", (params: Json) => JSON.stringify(params.update).includes(text));
  let sessionId = "";
  const outcomes = await runSteps([
    {
      name: "initialize",
      run: async () => void (await client.ask("initialize", { protocolVersion: 1, clientCapabilities: {} })),
    },
    {
      name: "session/new",
      run: async () => {
        ({ sessionId } = await client.ask("session/new", { cwd, mcpServers: [] }));
      },
    },
    {
      name: "session/prompt",
      run: async () => {
        assert.equal((await prompt(sessionId, "hello there")).stopReason, "end_turn");
        await hear("ack: hel");
      },
    },
    {
      name: "a tool call",
      run: async () => {
        assert.equal((await prompt(sessionId, "run echo from-a-tool")).stopReason, "end_turn");
        await hear("from-a-tool");
        await hear('"status":"completed"');
      },
    },
    {
      name: "session/cancel",
      run: async () => {
        const ended = prompt(sessionId, "wait for it");
        await hear("waiting");
        client.send({ method: "session/cancel", params: { sessionId } });
        assert.equal((await ended).stopReason, "cancelled");
      },
    },
    {
      name: "session/list",
      run: async () => {
        const { sessions } = await client.ask("session/list", {});
        assert.ok(sessions.some((each: Json) => each.sessionId === sessionId));
      },
    },
    {
      name: "session/load",
      run: async () => {
        const before = client.heard.length;
        await client.ask("session/load", { sessionId, cwd, mcpServers: [] });
        const replayed = JSON.stringify(client.heard.slice(before));
        assert.ok(replayed.includes("ack: hello there"), replayed);
        assert.equal((await prompt(sessionId, "once more")).stopReason, "end_turn");
        assert.ok(model.requests.length > 0);
      },
    },
    {
      name: "session/fork",
      run: async () => {
        const fork = await client.ask("session/fork", { sessionId, cwd, mcpServers: [] });
        assert.notEqual(fork.sessionId, sessionId);
        assert.equal((await prompt(fork.sessionId, "in the fork")).stopReason, "end_turn");
      },
    },
    { name: "session/close", run: async () => void (await client.ask("session/close", { sessionId })) },
  ]);
  const refused = client.failed.join("\n");
  return [...outcomes, { step: "no request was refused", ...(refused === "" ? {} : { problem: refused }) }];
}
