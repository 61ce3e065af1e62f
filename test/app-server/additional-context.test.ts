/** What comes beside a user's words: context of the client's, and pictures. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hang } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { textOf } from "../../src/protocol/response-item.ts";
import { type Json, serve } from "./test-client.ts";

const PICTURE =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const words = (text: string) => [{ type: "text", text }];

test("the model is told what has changed of a client's context, before the user's words; no item shows it", async () => {
  const model = scriptedClient(() => "ok", { recordRequests: 20 });
  await using served = await serve({ manager: { model, config: { cwd: "/w" } } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const told = async (text: string, app?: string, page?: string) => {
    const additionalContext = {
      ...(app !== undefined && { app: { kind: "application", value: app } }),
      ...(page !== undefined && { page: { kind: "untrusted", value: page } }),
    };
    const { turn } = await client.request("turn/start", { threadId: thread.id, input: words(text), additionalContext });
    await client.next("turn/completed", (params) => params.turn.id === turn.id);
    const items = model.requests.at(-1)?.input ?? [];
    const answered = items.findLastIndex((item) => item.type === "message" && item.role === "assistant");
    return items.slice(answered + 1).flatMap((item) => {
      const found = /<(app|page)>.*<\/\1>/.exec(textOf(item))?.[0];
      return item.type === "message" && (found !== undefined || textOf(item) === text)
        ? `${item.role} ${found ?? text}`
        : [];
    });
  };
  assert.deepEqual(await told("one", "A", "P"), ["developer <app>A</app>", "user <page>P</page>", "user one"]);
  assert.deepEqual(await told("two", "A", "P"), ["user two"]);
  assert.deepEqual(await told("three", "B", "P"), ["developer <app>B</app>", "user three"]);
  assert.deepEqual(await told("four"), ["user four"]);
  assert.deepEqual(await told("five", "B"), ["developer <app>B</app>", "user five"]);
  const { data } = await client.request("thread/list", {});
  assert.deepEqual(
    data.map(({ preview }: Json) => preview),
    ["one"],
  );
  const read = await client.request("thread/read", { threadId: thread.id, includeTurns: true });
  for (const { items } of read.thread.turns) {
    assert.deepEqual(
      items.map(({ type }: Json) => type),
      ["userMessage", "agentMessage"],
    );
  }
  const unknown = { threadId: thread.id, input: words("x"), additionalContext: { a: { kind: "x", value: "v" } } };
  assert.match(
    (await client.failure("turn/start", unknown)).message,
    /unknown variant `x`, expected `untrusted` or `application`/,
  );
});

test("what is steered is checked before the turn that it is for", async () => {
  await using served = await serve({ manager: { model: scriptedClient([[hang()]]), config: { cwd: "/w" } } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.request("turn/start", { threadId: thread.id, input: words("go") });
  const steer = (input: Json) => client.failure("turn/steer", { threadId: thread.id, expectedTurnId: "other", input });
  assert.equal((await steer(words("x".repeat(1_048_577)))).data.input_error_code, "input_too_large");
  assert.match((await steer([{ type: "image", url: "https://x.y/z.png" }])).message, /remote image URLs/);
  assert.match((await steer(words("x"))).message, /expected active turn id/);
});

test("a thread whose first message is a picture is listed, and pictures leave no marks in a preview", async () => {
  await using served = await serve({ manager: { model: scriptedClient(() => "ok"), config: { cwd: "/w" } } });
  const { client } = served;
  const picture = { type: "image", url: PICTURE };
  const missing = { type: "localImage", path: "/nowhere/at all.png" };
  const previews: string[] = [];
  for (const input of [[picture], [missing], [picture, ...words("look")], [...words("look"), missing]]) {
    const { thread } = await client.request("thread/start", {});
    const { turn } = await client.request("turn/start", { threadId: thread.id, input });
    await client.next("turn/completed", (params) => params.turn.id === turn.id);
    const { data } = await client.request("thread/list", {});
    previews.push(data.find(({ id }: Json) => id === thread.id)?.preview);
  }
  assert.deepEqual(previews, ["[Image]", "[Image]", "look", "look"]);
});
