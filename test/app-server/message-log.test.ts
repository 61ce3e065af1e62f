/** A debug line for each JSON-RPC message, and nothing of what it says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLog } from "../../src/kernel/log.ts";
import { serve } from "./test-client.ts";

test("a logger that does not write such lines is given none", async () => {
  const lines: unknown[] = [];
  const logger = {
    ...silentLog,
    debug: (...line: unknown[]) => void lines.push(line),
    isLevelEnabled: (level: string) => level !== "debug",
  };
  await using server = await serve({ server: { logger } });
  await server.client.request("thread/start", {});
  server.client.send({ method: "initialized" } as never);
  assert.deepEqual(
    lines.filter((line) => JSON.stringify(line).includes("method")),
    [],
  );
});

test("method, id and duration of each message; never its parameters", async () => {
  const lines: [object, string][] = [];
  const debug = (details: object, message: string) => void lines.push([details, message]);
  await using server = await serve({ server: { logger: { ...silentLog, debug: debug as typeof silentLog.debug } } });
  const { client } = server;
  client.send({ method: "initialized" } as never);
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "the secret question");
  await client.failure("thread/resume", { threadId: "the secret place" });
  await client.failure("sk-proj-abcdefghijklmnopqrstuvwxyz0123456789", {});
  client.close();

  const said = (message: string) => lines.filter(([, text]) => text === message).map(([details]) => details);
  const [received] = said("request received") as { connection: number; id: number; method: string }[];
  assert.equal(received?.method, "initialize");
  const answers = said("answer sent") as { id: number; method: string; ms: number; code?: number }[];
  const started = answers.find(({ method }) => method === "thread/start");
  assert.equal(typeof started?.ms, "number");
  assert.equal(started?.code, undefined);
  assert.equal(answers.find(({ method }) => method === "thread/resume")?.code, -32600);
  assert.ok((said("notification sent") as { method: string }[]).some(({ method }) => method === "turn/completed"));
  assert.ok((said("notification received") as { method: string }[]).some(({ method }) => method === "initialized"));
  assert.equal(said("connection opened").length, 1);
  const all = JSON.stringify(lines);
  for (const word of ["secret question", "secret place", "sk-proj-abc"]) assert.ok(!all.includes(word), word);
});
