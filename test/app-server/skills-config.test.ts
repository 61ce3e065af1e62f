/** Skills that are taken out by config.toml, and folders that are searched as well. */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { openHome } from "../../src/manager/home.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Json, serve } from "./test-client.ts";

async function skill(root: string, name: string): Promise<string> {
  const path = join(root, name, "SKILL.md");
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `---\nname: ${name}\ndescription: does ${name}\n---\nBODY of ${name}\n`);
  return path;
}

const CONFIG = `# kept
[[skills.config]]
name = "gamma"
enabled = false

[[skills.config]]
nonsense = true
`;

async function withSkills(t: TestContext) {
  const root = await folder(t);
  const [home, cwd] = [join(root, "home"), join(root, "ws")];
  await mkdir(cwd);
  const alpha = await skill(join(cwd, ".agents", "skills"), "alpha");
  await skill(join(home, "skills"), "gamma");
  await writeFile(join(home, "config.toml"), CONFIG);
  const opened = await openHome({ home, env: { HOME: join(root, "user") }, cwd, typed: { builtInTools: [] } });
  const model = scriptedClient((request) => JSON.stringify(request.input), { recordRequests: 10 });
  const served = await serve({ manager: { ...opened.options, model }, server: { home: opened, cwd } });
  const { client } = served;
  const list = async (): Promise<[string, boolean, string][]> =>
    (await client.request("skills/list", { cwds: [cwd] })).data[0].skills.map(({ name, enabled, scope }: Json) => [
      name,
      enabled,
      scope,
    ]);
  const sent = () => JSON.stringify(model.requests.at(-1)?.input);
  const close = async () => {
    await served[Symbol.asyncDispose]();
    await opened.close();
  };
  return { root, home, cwd, alpha, client, served, list, sent, [Symbol.asyncDispose]: close };
}

test("a skill that config.toml takes out is listed as such, and neither told to the model nor injected", async (t) => {
  await using all = await withSkills(t);
  const { client, list, sent, alpha, home, cwd } = all;
  assert.deepEqual(await list(), [
    ["alpha", true, "repo"],
    ["gamma", false, "user"],
  ]);
  const { thread } = await client.request("thread/start", { cwd });
  await client.turn(thread.id, "use $alpha and $gamma");
  assert.match(sent(), /does alpha/);
  assert.match(sent(), /BODY of alpha/);
  assert.doesNotMatch(sent(), /does gamma|BODY of gamma/);
  const write = (params: Json) => client.request("skills/config/write", params);
  assert.deepEqual(await write({ path: alpha, enabled: false }), { effectiveEnabled: false });
  assert.deepEqual(await write({ path: alpha, enabled: false }), { effectiveEnabled: false });
  assert.deepEqual(await write({ name: "gamma", enabled: true }), { effectiveEnabled: true });
  assert.deepEqual(
    (await list()).map(([name, enabled]) => [name, enabled]),
    [
      ["alpha", false],
      ["gamma", true],
    ],
  );
  const text = await readFile(join(home, "config.toml"), "utf8");
  assert.ok(text.startsWith("# kept") && text.split(alpha).length === 2 && !text.includes("gamma"), text);
  const second = await client.request("thread/start", { cwd });
  await client.turn(second.thread.id, "use $alpha and $gamma");
  assert.match(sent(), /does gamma[\s\S]*BODY of gamma/);
  assert.doesNotMatch(sent(), /does alpha|BODY of alpha/);
  await write({ path: alpha, enabled: true });
  assert.doesNotMatch(await readFile(join(home, "config.toml"), "utf8"), /enabled/);
});

test("what is no one skill is not written", async (t) => {
  await using all = await withSkills(t);
  const failure = async (params: Json) => {
    const { code, message } = await all.client.failure("skills/config/write", params);
    return [code, message];
  };
  const oneOf = [-32602, "skills/config/write requires exactly one of path or name"];
  for (const params of [{}, { path: "/a", name: "a" }, { name: "" }, { path: null, name: null }]) {
    assert.deepEqual(await failure({ ...params, enabled: true }), oneOf, JSON.stringify(params));
  }
  assert.deepEqual(await failure({ name: "a" }), [-32600, "Invalid request: missing field `enabled`"]);
  const relative = [-32600, "Invalid request: AbsolutePathBuf deserialized without a base path"];
  assert.deepEqual(await failure({ path: "rel/SKILL.md", enabled: true }), relative);
  assert.equal(await readFile(join(all.home, "config.toml"), "utf8"), CONFIG);
  assert.deepEqual(await all.client.request("skills/config/write", { name: "nosuch", enabled: false }), {
    effectiveEnabled: false,
  });
});

test("further folders are searched until others are named; every client hears of it before the answer", async (t) => {
  await using all = await withSkills(t);
  const { client, list, root, served } = all;
  const other = served.connect();
  await other.initialize();
  const extra = join(root, "extra");
  await skill(extra, "ex");
  const names = async () => (await list()).map(([name]) => name);
  assert.deepEqual(await names(), ["alpha", "gamma"]);
  assert.deepEqual(await client.request("skills/extraRoots/set", { extraRoots: [extra] }), {});
  const told = client.log.findIndex(({ method }) => method === "skills/changed");
  assert.ok(told !== -1 && told < client.log.length - 1);
  await other.next("skills/changed");
  assert.deepEqual(await list(), [
    ["alpha", true, "repo"],
    ["ex", true, "user"],
    ["gamma", false, "user"],
  ]);
  const { code, message } = await client.failure("skills/extraRoots/set", { extraRoots: [extra, "rel"] });
  assert.deepEqual([code, message], [-32600, "Invalid request: AbsolutePathBuf deserialized without a base path"]);
  assert.deepEqual(await names(), ["alpha", "ex", "gamma"]);
  await client.request("skills/extraRoots/set", { extraRoots: [] });
  assert.deepEqual(await names(), ["alpha", "gamma"]);
});
