/**
 * Every method with params that are none, each field of the wrong type, missing, empty, huge, or naming what there is not. The
 * fields are those of the schemas that stock 0.171 prints (0.169 for `thread/rollback`), for v1 those of 0.87 (`test/data/app-server/params.json`).
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { notServedMethods } from "../../src/app-server/v2/not-served.ts";
import { type Fixture, type Json, type Message, serve } from "./test-client.ts";

type Fields = Readonly<Record<string, string>>;
const FIELDS: Readonly<Record<string, Fields>> = JSON.parse(
  await readFile(new URL("../data/app-server/params.json", import.meta.url), "utf8"),
);
const UNKNOWN = "01999999-1111-7222-8333-444455556666";
const HUGE = "y".repeat(100_000);

/** A value of each kind, and of which kinds it is. */
const VALUES: readonly (readonly [value: unknown, ...kinds: string[]])[] = [
  ["x", "string"],
  [5, "int", "uint"],
  [true, "boolean"],
  [[], "array"],
  [{ a: 1 }, "object"],
  [1.5],
  [-1, "int"],
];

/** Sign-in and what it leaves behind would change what the next method meets. */
const APART = new Set(["initialize", "account/login/start", "account/logout", "loginApiKey", "logoutChatGpt"]);
const METHODS = Object.keys(FIELDS).filter((name) => !APART.has(name));

/** Stock answers these so, as a client that errs. */
const ALLOWED =
  /no rollout found for thread id|unable to resolve sessions directory|at least one search directory is required|EmptyInput|unknown MCP server|\(os error \d+\)/;

const nameOf = (field: string): string => field.replace("?", "");

function plausible(fields: Fields, threadId: string): Json {
  const required = Object.entries(fields).filter(([field]) => !field.endsWith("?"));
  return Object.fromEntries(
    required.map(([field, kind]) => {
      if (/^(threadId|conversationId)$/.test(field)) return [field, threadId];
      const [first = "string"] = kind.split("|");
      return [field, VALUES.find(([, ...kinds]) => kinds.includes(first))?.[0] ?? "x"];
    }),
  );
}

async function answers(client: Fixture["client"], asked: readonly { method: string; params?: Json }[]) {
  const ids = asked.map(({ method, params }, index) => {
    const id = `${method}#${index}`;
    client.send(params === undefined ? { id, method } : { id, method, params });
    return id;
  });
  const found: Message[] = [];
  for (const id of ids) found.push(await client.find((message) => message.id === id && message.method === undefined));
  return found;
}

const told = ({ error }: Message): string => (error === undefined ? "ok" : `${error.code} ${error.message}`);

test("fields of a wrong type are refused by name, whatever the method does with them", {
  timeout: 60_000,
}, async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const passed: string[] = [];
  for (const method of METHODS) {
    const fields = FIELDS[method] ?? {};
    const wrong = Object.entries(fields).flatMap(([field, kind]) => {
      const kinds = kind.split("|");
      if (kinds.includes("any")) return [];
      return VALUES.filter(([, ...of]) => !of.some((each) => kinds.includes(each))).map(([value]) => ({
        method,
        params: { ...plausible(fields, thread.id), [nameOf(field)]: value },
      }));
    });
    const got = await answers(client, wrong);
    got.forEach((answer, index) => {
      if (/^-32600 (Invalid request: |.*requires experimentalApi)/.test(told(answer))) return;
      passed.push(`${method} ${JSON.stringify(wrong[index]?.params)}: ${told(answer).slice(0, 120)}`);
    });
  }
  assert.deepEqual(passed, []);
});

test("params that are none, lack a field, or name what there is not: no internal error, and every one is answered", {
  timeout: 60_000,
}, async () => {
  await using served = await serve();
  const { client } = served;
  const bad: string[] = [];
  for (const method of METHODS) {
    const fields = FIELDS[method] ?? {};
    const { thread } = await client.request("thread/start", {});
    const base = plausible(fields, thread.id);
    const texts = Object.entries(fields).filter(([, kind]) => kind.includes("string"));
    const without = Object.keys(base).map((field) => {
      const { [field]: _, ...rest } = base;
      return { method, params: rest };
    });
    const asked: { method: string; params?: Json }[] = [
      { method },
      ...[null, {}, [], "x", 5, true].map((params) => ({ method, params })),
      ...without,
      ...texts.flatMap(([field]) =>
        ["", HUGE, UNKNOWN].map((text) => ({ method, params: { ...base, [nameOf(field)]: text } })),
      ),
    ];
    for (const [index, answer] of (await answers(client, asked)).entries()) {
      if (answer.error?.code !== -32603 || ALLOWED.test(answer.error.message)) continue;
      bad.push(`${method} ${JSON.stringify(asked[index]?.params).slice(0, 200)}: ${told(answer)}`);
    }
    for (const answer of await answers(client, without))
      if (answer.error?.code !== -32600) bad.push(`${method}: ${told(answer)}`);
  }
  assert.deepEqual(bad, []);
  assert.equal((await client.request("thread/loaded/list", {})).nextCursor, null);
});

test("before initialize nothing is served, and a second one is refused", { timeout: 60_000 }, async () => {
  await using served = await serve();
  const early = served.connect();
  const { thread } = await served.client.request("thread/start", {});
  const asked = METHODS.map((method) => ({ method, params: plausible(FIELDS[method] ?? {}, thread.id) }));
  for (const answer of await answers(early, asked))
    assert.match(told(answer), /^-32600 (Not initialized|Invalid request: )/);
  await early.initialize();
  assert.match(
    String(await early.failure("initialize", { clientInfo: { name: "x", version: "1" } })),
    /Already initialized/,
  );
  assert.deepEqual((await early.request("thread/loaded/list", {})).data, [thread.id]);
});

test("while the manager ends, and after, every request is answered", { timeout: 60_000 }, async () => {
  await using served = await serve();
  const { client, manager } = served;
  const { thread } = await client.request("thread/start", {});
  const asked = METHODS.map((method) => ({ method, params: plausible(FIELDS[method] ?? {}, thread.id) }));
  const ending = manager.shutdown();
  assert.equal((await answers(client, asked)).length, asked.length);
  await ending;
  const after = await answers(
    client,
    asked.map(({ method, params }) => ({ method, params })),
  );
  const defects = after.filter(({ error }) => error?.data?.code === "internal_defect").map(told);
  assert.deepEqual(defects, []);
});

test("filters for what Skein has none of find nothing, rather than everything", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "hello");
  const listed = async (params: Json) => (await client.request("thread/list", params)).data.length;
  assert.deepEqual(
    [await listed({}), await listed({ sectionId: "s" }), await listed({ attachedToThreadId: thread.id })],
    [1, 0, 0],
  );
  const refused = async (method: string, params: Json) => {
    const { code, message } = await client.failure(method, params);
    return `${code} ${message}`;
  };
  assert.equal(await refused("thread/list", { projectId: "p" }), "-32602 project not found: p");
  assert.equal(await refused("thread/start", { projectId: "p" }), "-32600 project not found: p");
  for (const method of ["hooks/list", "app/list", "app/installed", "mcpServerStatus/list"]) {
    assert.equal(await refused(method, { threadId: UNKNOWN }), `-32600 thread not found: ${UNKNOWN}`);
  }
  assert.match(await refused("model/list", { modelProvider: "ghost" }), /^-32600 .*“ghost”/);
  const relative = { threadId: thread.id, markdown: "a plan", attachmentPath: "plan.md" };
  assert.match(await refused("thread/prepareApprovedPlan", relative), /^-32602 `attachmentPath` must be absolute/);
});

test("every method of Codex's that is served is tried here", async () => {
  await using served = await serve();
  const { message } = await served.client.failure("nope", {});
  const known = [...message.slice(message.indexOf("expected")).matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? "");
  const apart = (name: string) => name.startsWith("skein/") || Object.hasOwn(notServedMethods, name);
  assert.deepEqual(
    known.filter((name) => !apart(name) && !Object.hasOwn(FIELDS, name)),
    [],
  );
});

test("what is not served is refused by its name, whatever comes with it", { timeout: 60_000 }, async () => {
  await using served = await serve();
  const names = Object.keys(notServedMethods);
  assert.ok(names.length > 50);
  const asked = names.flatMap((method) =>
    [undefined, null, {}, [], "x", { threadId: 5 }].map((params) => ({ method, params })),
  );
  for (const [index, { error }] of (await answers(served.client, asked)).entries()) {
    const name = asked[index]?.method;
    assert.equal(error?.code, -32600, name);
    assert.deepEqual(error.data, { code: "invalid_request", notServed: name });
    assert.ok(error.message.startsWith(`Invalid request: ${name} is not served by Skein: `), error.message);
  }
  const stable = served.connect();
  await stable.initialize({});
  const { message } = await stable.failure("thread/realtime/start", {});
  assert.equal(message, "thread/realtime/start requires experimentalApi capability");
});
