import assert from "node:assert/strict";
import { chmod, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { InvalidRequestError, StoreIoError } from "../../src/protocol/errors.ts";
import { createConfigFile } from "../../src/services/config-file.ts";
import { tempHome } from "./temp-home.ts";

test("no file is an empty one; a change is seen; an unchanged file is parsed once", async (t) => {
  const home = await tempHome(t);
  const file = createConfigFile(home);
  const empty = await file.read();
  assert.deepEqual(empty.table, {});
  assert.equal(empty.version, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
  await writeFile(file.path, 'model = "a"');
  const first = await file.read();
  assert.equal(first.table.model, "a");
  assert.equal(await file.read(), first);
  await writeFile(file.path, 'model = "bb"');
  assert.equal((await file.read()).table.model, "bb");
});

test("the version is Codex's", async (t) => {
  const home = await tempHome(t);
  const provider = (name: string) =>
    `[model_providers.${name}]\nname = "${name}"\nbase_url = "http://127.0.0.1:39201/v1"\nwire_api = "responses"\n` +
    "request_max_retries = 0\nstream_max_retries = 0\nrequires_openai_auth = false\nsupports_websockets = false\n";
  await writeFile(
    join(home, "config.toml"),
    'model = "gpt-5.1-codex"\nmodel_provider = "mock"\napproval_policy = "never"\nsandbox_mode = "danger-full-access"\n' +
      `check_for_update_on_startup = false\n${provider("mock")}${provider("other")}[analytics]\nenabled = false\n`,
  );
  const { version } = await createConfigFile(home).read();
  assert.equal(version, "sha256:1ce11b67a3c5e2cca76acc41d567cc3691889c6189509ff71700fd373d9c1b96");
});

test("an error names the file, the line, the key and the problem, and quotes no value", async (t) => {
  const home = await tempHome(t);
  const file = createConfigFile(home);
  const cases: [string, RegExp][] = [
    ["model = \n", /config\.toml:1:9: /],
    ['a = 1\nkey = "sk-secret\n', /config\.toml:2:\d+: /],
    ['model = "a"\nmodel = "b"', /config\.toml:2:1: trying to redefine an already defined table or value$/],
    ['# c\n\nsandbox_mode = "sk-secret"', /config\.toml:3: sandbox_mode: Invalid option: expected one of "read-only"/],
    ["model = 7", /config\.toml:1: model: Invalid input: expected string, received number$/],
    ["[model_providers.x]\n\nbase_url = true", /config\.toml:3: model_providers\.x\.base_url: Invalid input/],
    [
      '[model_providers."x.y"]\nhttp_headers = { a = 1 }',
      /config\.toml:2: model_providers\."x\.y"\.http_headers\.a: Inv/,
    ],
    ["model_providers = 1", /config\.toml:1: model_providers: Invalid input/],
    ["[mcp_servers]\nx = 1", /config\.toml:2: mcp_servers\.x: Invalid input: expected a table$/],
    ["[profiles.p]\nmodel = 7", /config\.toml:2: profiles\.p\.model: Invalid input: expected string/],
    ["model_context_window = 0\napproval_policy = 1", /:2: approval_policy: .*; .*:1: model_context_window: /],
  ];
  for (const [text, message] of cases) {
    await writeFile(file.path, text);
    await assert.rejects(file.read(), (error) => {
      assert.ok(error instanceof InvalidRequestError);
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(file.path));
      assert.ok(!inspect(error, { depth: 9 }).includes("sk-secret"));
      return true;
    });
  }
});

test("unknown keys of other programs are no error", async (t) => {
  const home = await tempHome(t);
  await writeFile(
    join(home, "config.toml"),
    "[tui]\ntheme = 1\n[model_providers.x]\nsupports_websockets = false\nnew = 1979-05-27",
  );
  assert.equal((await createConfigFile(home).read()).lineOf(["model_providers", "x", "new"]), 5);
});

test("a file that cannot be read says so", async (t) => {
  const home = await tempHome(t);
  await writeFile(join(home, "plain"), "");
  await symlink(join(home, "config.toml"), join(home, "config.toml"));
  await assert.rejects(createConfigFile(home).read(), (error) => {
    assert.ok(error instanceof StoreIoError);
    assert.equal(
      error.message,
      `failed to read ${join(home, "config.toml")}: Too many levels of symbolic links (os error 40)`,
    );
    return true;
  });
});

test("a write makes the home and the file, keeps the mode and a link, and leaves no draft", async (t) => {
  const root = await tempHome(t);
  const home = join(root, "fresh/home");
  const contents = await createConfigFile(home).write("model_providers.x.base_url", "http://x");
  assert.equal(contents.text, '[model_providers.x]\nbase_url = "http://x"\n');
  assert.equal(await readFile(join(home, "config.toml"), "utf8"), contents.text);
  await chmod(join(home, "config.toml"), 0o600);
  await symlink(join(home, "config.toml"), join(root, "config.toml"));
  await createConfigFile(root).write("model", "m");
  assert.equal((await stat(join(home, "config.toml"))).mode & 0o777, 0o600);
  assert.equal((await createConfigFile(home).read()).table.model, "m");
  assert.deepEqual(await readdir(home), ["config.toml"]);
  assert.equal((await createConfigFile(root).write(["model"], null)).table.model, undefined);
});

test("a write that would break the file changes nothing", async (t) => {
  const home = await tempHome(t);
  const file = createConfigFile(home);
  await writeFile(file.path, 'model = "a" # mine\n');
  await assert.rejects(file.write("sandbox_mode", "bogus"), { code: "invalid_request", message: /:2: sandbox_mode: / });
  await assert.rejects(file.write("model.x", 1), { message: "config key `model` is not a table" });
  await assert.rejects(file.write("a..b", 1), { message: "config key `a..b` must be names joined by dots" });
  await assert.rejects(file.write("model", "b", { expectedVersion: "sha256:0" }), {
    message: /was changed since it was read/,
  });
  assert.equal(await readFile(file.path, "utf8"), 'model = "a" # mine\n');
  const { version } = await file.read();
  assert.equal((await file.write("model", "b", { expectedVersion: version })).text, 'model = "b" # mine\n');
  await writeFile(file.path, "broken =");
  await assert.rejects(file.write("model", "b"), InvalidRequestError);
  assert.equal(await readFile(file.path, "utf8"), "broken =");
});

test("writes at once are all kept, also through several handles", async (t) => {
  const home = await tempHome(t);
  await Promise.all(Array.from({ length: 20 }, (_, index) => createConfigFile(home).write(`k${index}`, index)));
  const { table } = await createConfigFile(home).read();
  assert.deepEqual(Object.values(table).sort(), Array.from({ length: 20 }, (_, index) => index).sort());
});
