/** Messages that are too much to parse, and the readers' bounds on JSON. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readMessage } from "../../src/app-server/json-rpc.ts";
import { envelopeOf } from "../../src/app-server/refused-message.ts";
import { boundPassed, isDeepText } from "../../src/protocol/json-depth.ts";
import { type Json, serve } from "./test-client.ts";

const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
const MIB = 1024 * 1024;

test("a request that nests too deep is refused by its id, wherever that stands, and nothing is begun", async () => {
  await using served = await serve();
  const { client } = served;
  const failureOf = async (id: string, text: string) => {
    client.raw(text);
    return (await client.find((message) => message.id === id)).error;
  };
  for (const levels of [128, 5_000, 100_000]) {
    for (const [id, text] of [
      [`config-${levels}`, `{"id":"config-${levels}","method":"thread/start","params":{"config":${nested(levels)}}}`],
      [`last-${levels}`, `{"method":"thread/start","params":{"config":${nested(levels)}}, "id" : "last-${levels}"}`],
      [`array-${levels}`, `{"id":"array-${levels}","method":"x","params":${"[".repeat(levels)}`],
      [`hidden-${levels}`, `{"params":{"id":"no","x":${nested(levels)},"id":7},"id":"hidden-${levels}","method":"id"}`],
    ] as const) {
      const { code, message, data } = await failureOf(id, text);
      assert.equal(code, -32600);
      assert.match(message, /recursion limit exceeded/);
      assert.equal(data.code, "invalid_request");
    }
  }
  const { data } = await client.request("thread/list", {});
  assert.deepEqual(data, []);
});

test("what nests as deep as can be stored while it waits is taken: one level less than Codex takes", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  // params, items, the item: three levels, and the message itself.
  const item = `{"type":"message","role":"user","content":[],"v":${nested(127 - 5)}}`;
  client.raw(`{"id":"ok","method":"thread/inject_items","params":{"threadId":"${thread.id}","items":[${item}]}}`);
  const { result, error } = await client.find(({ id }) => id === "ok");
  assert.deepEqual([result, error], [{}, undefined]);
});

test("an answer that nests too deep counts as failed", () => {
  assert.deepEqual(readMessage(`{"id":3,"result":${nested(200)}}`)?.kind, "error");
  assert.equal(readMessage(`{"result":${nested(200)}}`), undefined);
});

test("many MiB of anything are answered soon, and ignored where they are no message", async () => {
  await using served = await serve();
  const { client } = served;
  for (const text of ["[".repeat(16 * MIB), `[${"1,".repeat(8 * MIB)}1]`, " ".repeat(16 * MIB), "{".repeat(16 * MIB)]) {
    client.raw(text);
  }
  const ones = `{"id":"ones","method":"thread/start","params":{"config":[${"1,".repeat(4 * MIB)}1]}}`;
  client.raw(ones);
  const { error } = await client.find(({ id }) => id === "ones");
  assert.match(error.message, /too many values/);
  await client.request("thread/list", {});
});

test("brackets and commas within texts count for nothing", () => {
  for (const text of ['"[[[[', '"\\"[[[[', '"\\\\\\"[[[[{{{{,,,,']) {
    assert.equal(isDeepText(`{"a":${text}"}`, 1), false, text);
    assert.equal(boundPassed(`{"a":${text}"}`, { levels: 1, values: 1 }), undefined, text);
  }
  assert.equal(isDeepText('{"a":"\\\\",  "b":[[1]]}', 2), true);
});

const depthOf = (value: unknown): number =>
  typeof value === "object" && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0;
const valuesOf = (text: string): number => {
  let commas = 0;
  JSON.parse(text, (_, value) => value);
  for (const [, comma] of text.matchAll(/"(?:[^"\\]|\\.)*"|(,)/g)) commas += comma === undefined ? 0 : 1;
  return commas + 1;
};

test("the walk agrees with a parser", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), fc.nat(8), (text, bound) => {
      assert.equal(isDeepText(text, bound), depthOf(JSON.parse(text)) > bound);
      const infinite = Number.POSITIVE_INFINITY;
      assert.equal(boundPassed(text, { levels: infinite, values: bound + 1 }) === "values", valuesOf(text) > bound + 1);
    }),
  );
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.oneof(fc.integer(), fc.string()), (others, id) => {
      const message: Json = { ...others, id, method: "m" };
      const spaced = JSON.stringify(message, null, 2);
      for (const text of [JSON.stringify(message), spaced]) assert.deepEqual(envelopeOf(text), { id, hasMethod: true });
    }),
  );
});

test("the walk ends for whatever it is given", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('"', "\\", "{", "}", "[", ":", ",", "id", " ", "é", "\ud800")), (parts) => {
      const text = parts.join("");
      boundPassed(text, { levels: 3, values: 3 });
      envelopeOf(text);
      readMessage(text);
    }),
  );
});
