/** A thread's rest and the end of its turn reach a client in one write: who reads them apart may begin a turn in between. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { listenOnStdio } from "../../src/app-server/transports/stdio.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { fail, hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import { type Json, serve } from "./test-client.ts";

/** A client over two streams that keeps what came with each write. */
async function streamed(t: TestContext, plays: Parameters<typeof scriptedClient>[0]) {
  const served = await serve({ manager: { model: scriptedClient(plays) } });
  t.after(() => served[Symbol.asyncDispose]());
  const input = new PassThrough();
  const writes: Json[][] = [];
  const arrived = new EventTarget();
  const output = new Writable({
    write(chunk, _, done) {
      writes.push(
        String(chunk)
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => JSON.parse(line)),
      );
      arrived.dispatchEvent(new Event("write"));
      done();
    },
  });
  const accept = (wire: Parameters<typeof served.server.connect>[0]) => void served.server.connect(wire);
  listenOnStdio({ input, output }, { auth: {}, logger: silentLog, clock: new ManualClock(), accept });
  const find = async (fits: (message: Json) => boolean): Promise<Json> => {
    for (;;) {
      const found = writes.flat().find(fits);
      if (found !== undefined) return found;
      await once(arrived, "write");
    }
  };
  let id = 0;
  const ask = async (method: string, params: Json): Promise<Json> => {
    const own = ++id;
    input.write(`${JSON.stringify({ id: own, method, params })}\n`);
    return (await find((message) => message.id === own)).result;
  };
  await ask("initialize", { clientInfo: { name: "t", version: "1" }, capabilities: { experimentalApi: true } });
  return { ask, find, writes };
}

const input = [{ type: "text", text: "go" }];
const ENDS: [string, Parameters<typeof scriptedClient>[0], string][] = [
  ["completed", ["done"], "idle"],
  ["failed", [[fail(new ModelError("no"))]], "systemError"],
  ["interrupted", [[say("on"), hang()]], "idle"],
];
for (const [end, plays, status] of ENDS) {
  test(`${status} and turn/completed come with one write: ${end}`, async (t) => {
    const { ask, find, writes } = await streamed(t, plays);
    const { thread } = await ask("thread/start", {});
    const threadId = thread.id;
    const { turn } = await ask("turn/start", { threadId, input });
    if (end === "interrupted") {
      await find(({ method }) => method === "item/agentMessage/delta");
      await ask("turn/interrupt", { threadId, turnId: turn.id });
    }
    const told = await find(({ method }) => method === "turn/completed");
    assert.equal(told.params.turn.status, end);
    const write = writes.find((messages) => messages.includes(told)) ?? [];
    const rest = write.findIndex(
      ({ method, params }) => method === "thread/status/changed" && params.status.type === status,
    );
    assert.ok(rest !== -1 && rest < write.indexOf(told), JSON.stringify(write.map(({ method }) => method)));
  });
}

/** Turns that no words of the user begin. */
const OTHERS: [string, Json][] = [
  ["thread/compact/start", {}],
  ["thread/shellCommand", { command: "true" }],
  ["review/start", { target: { type: "custom", instructions: "look" } }],
];
for (const [method, params] of OTHERS) {
  test(`idle and turn/completed come with one write: ${method}`, async (t) => {
    const { ask, find, writes } = await streamed(t, ["done", "done"]);
    const { thread } = await ask("thread/start", {});
    const threadId = thread.id;
    const { turn } = await ask("turn/start", { threadId, input });
    await find((message) => message.method === "turn/completed" && message.params.turn.id === turn.id);
    await ask(method, { threadId, ...params });
    const isEnd = (message: Json) => message.method === "turn/completed" && message.params.turn.id !== turn.id;
    const told = await find(isEnd);
    const write = writes.find((messages) => messages.includes(told)) ?? [];
    const before = write.slice(0, write.indexOf(told)).map((message) => message.params?.status?.type);
    assert.ok(before.includes("idle"), JSON.stringify(write.map((message) => message.method)));
  });
}
