/** An editor's side of codex-acp, with our program in Codex's place. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLI, Place } from "./skein-server.ts";
import { type Json, StdioClient } from "./stdio-client.ts";
import { runSteps } from "./step.ts";

const CACHE = new URL("../../.cache/codex-acp/", import.meta.url).pathname;
const PROGRAM = join(CACHE, "node_modules/@agentclientprotocol/codex-acp/dist/index.js");

function install(): boolean {
  if (existsSync(PROGRAM)) return true;
  mkdirSync(CACHE, { recursive: true });
  const packages = ["install", "--no-audit", "--no-fund", "--prefix", CACHE, "@agentclientprotocol/codex-acp@2.6.0"];
  const { status, stderr } = spawnSync("npm", packages, { encoding: "utf8" });
  if (status !== 0) process.stdout.write(`skipped: npm cannot install codex-acp: ${stderr}\n`);
  return status === 0;
}

export async function checkAcp(): Promise<string[]> {
  if (!install()) return [];
  await using place = await Place.create();
  const { work: cwd, model } = place;
  const program = join(place.folder, "skein.sh");
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${CLI}" "$@" --home "${place.home}"\n`, {
    mode: 0o755,
  });
  const env = { ...place.env, HOME: place.client, CODEX_HOME: place.client, CODEX_PATH: program };
  await using client = new StdioClient(
    spawn(process.execPath, [PROGRAM], { cwd, env, stdio: ["pipe", "pipe", "inherit"] }),
    { jsonrpc: "2.0" },
  );
  const prompt = (sessionId: string, text: string) =>
    client.ask("session/prompt", { sessionId, prompt: [{ type: "text", text }] });
  const hear = (text: string) =>
    client.nth("session/update", (params: Json) => JSON.stringify(params.update).includes(text));
  let sessionId = "";
  const problems = await runSteps([
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
  return [...problems, ...client.failed];
}
