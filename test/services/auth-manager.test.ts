import assert from "node:assert/strict";
import { chmod, lstat, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Writable } from "node:stream";
import { test } from "node:test";
import { inspect } from "node:util";
import pino from "pino";
import { InvalidRequestError, StoreIoError } from "../../src/protocol/errors.ts";
import {
  type AuthManager,
  type AuthStatus,
  fileAuthManager,
  memoryAuthManager,
} from "../../src/services/auth-manager.ts";
import { keptLog, tempHome } from "./temp-home.ts";

const SECRET = "sk-never-to-be-seen";
const idToken = (claims: object) => `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
const chatgpt = {
  OPENAI_API_KEY: null,
  tokens: {
    id_token: idToken({ email: "a@b.example", "https://api.openai.com/auth": { chatgpt_plan_type: "pro" } }),
    access_token: SECRET,
    refresh_token: "rt",
    account_id: "acc",
  },
  last_refresh: "2026-11-22T00:00:00Z",
};

const watched = (auth: AuthManager) => {
  const seen: AuthStatus[] = [];
  auth.changes$.subscribe((status) => seen.push(status));
  return seen;
};

test("nobody is signed in where there is no auth.json, and asking creates nothing", async (t) => {
  const home = await tempHome(t);
  const auth = fileAuthManager({ home: join(home, "absent") });
  assert.deepEqual(auth.status(), { authMethod: null });
  assert.equal(auth.apiKey(), undefined);
  assert.equal(auth.accessToken(), undefined);
  assert.equal(auth.account(), null);
  assert.deepEqual(await readdir(home), []);
});

test("a login writes auth.json as Codex does, for its owner alone, and another process finds it", async (t) => {
  const home = await tempHome(t);
  const auth = fileAuthManager({ home });
  const seen = watched(auth);
  await auth.loginWithApiKey(`  ${SECRET}\n`);
  const path = join(home, "auth.json");
  assert.equal(await readFile(path, "utf8"), `{\n  "OPENAI_API_KEY": "${SECRET}"\n}`);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(home), ["auth.json"]);
  assert.deepEqual(auth.status(), { authMethod: "apikey" });
  assert.equal(fileAuthManager({ home }).apiKey(), SECRET);
  assert.deepEqual(seen, [{ authMethod: "apikey" }]);
});

test("a login narrows an open auth.json, keeps unknown fields and drops the tokens", async (t) => {
  const home = await tempHome(t);
  const path = join(home, "auth.json");
  await writeFile(path, JSON.stringify({ ...chatgpt, auth_mode: "chatgpt", future: { kept: [1] } }));
  await chmod(path, 0o644);
  await fileAuthManager({ home }).loginWithApiKey(SECRET);
  assert.deepEqual(JSON.parse(await readFile(path, "utf8")), {
    OPENAI_API_KEY: SECRET,
    auth_mode: "apikey",
    future: { kept: [1] },
  });
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});

test("a login writes nothing through a linked auth.json: the link gives way to a file", async (t) => {
  const home = await tempHome(t);
  const target = join(home, "elsewhere.json");
  await writeFile(target, "{}");
  await symlink(target, join(home, "auth.json"));
  await fileAuthManager({ home }).loginWithApiKey(SECRET);
  assert.equal(await readFile(target, "utf8"), "{}");
  const found = await lstat(join(home, "auth.json"));
  assert.deepEqual([found.isFile(), found.mode & 0o777], [true, 0o600]);
  assert.deepEqual((await readdir(home)).sort(), ["auth.json", "elsewhere.json"]);
});

test("a key counts before tokens, and tokens alone mean ChatGPT", async (t) => {
  const home = await tempHome(t);
  const path = join(home, "auth.json");
  await writeFile(path, JSON.stringify(chatgpt));
  const auth = fileAuthManager({ home });
  assert.deepEqual(auth.status(), { authMethod: "chatgpt" });
  assert.equal(auth.apiKey(), undefined);
  assert.equal(auth.accessToken(), SECRET);
  assert.deepEqual(auth.account(), { type: "chatgpt", email: "a@b.example", planType: "pro", accountId: "acc" });

  await writeFile(path, JSON.stringify({ ...chatgpt, OPENAI_API_KEY: "sk-both" }));
  assert.deepEqual(auth.status(), { authMethod: "chatgpt" }, "the file is not read again by itself");
  assert.deepEqual(await auth.reload(), { authMethod: "apikey" });
  assert.equal(auth.apiKey(), "sk-both");
  assert.equal(auth.accessToken(), undefined);
  assert.deepEqual(auth.account(), { type: "apiKey" });
});

test("an id token that cannot be read leaves the account without a name", async (t) => {
  const home = await tempHome(t);
  await writeFile(
    join(home, "auth.json"),
    JSON.stringify({ tokens: { id_token: "junk", access_token: "a", refresh_token: "r" } }),
  );
  assert.deepEqual(fileAuthManager({ home }).account(), {
    type: "chatgpt",
    email: null,
    planType: null,
    accountId: null,
  });
});

test("a logout removes the file and is announced; a second one changes nothing", async (t) => {
  const home = await tempHome(t);
  const auth = fileAuthManager({ home });
  await auth.loginWithApiKey(SECRET);
  const seen = watched(auth);
  await auth.logout();
  await auth.logout();
  assert.deepEqual(await readdir(home), []);
  assert.deepEqual(auth.status(), { authMethod: null });
  assert.deepEqual(seen, [{ authMethod: null }]);
});

test("changes come in order, a listener sees the new state, and a reload of the same is silent", async () => {
  const auth = memoryAuthManager({ apiKey: "sk-one" });
  assert.equal(auth.apiKey(), "sk-one");
  const keys: (string | undefined)[] = [];
  auth.changes$.subscribe(() => keys.push(auth.apiKey()));
  await Promise.all([auth.loginWithApiKey("sk-two"), auth.logout(), auth.loginWithApiKey("sk-three"), auth.reload()]);
  assert.deepEqual(keys, ["sk-two", undefined, "sk-three"]);
});

test("what is no key is refused without a word of it", async () => {
  const auth = memoryAuthManager({ apiKey: "sk-before" });
  for (const key of ["", "  \n", `${SECRET} x`, `${SECRET}\r\nhost: evil`, `${SECRET}é`]) {
    await assert.rejects(auth.loginWithApiKey(key), (error) => {
      assert.ok(error instanceof InvalidRequestError);
      assert.ok(!inspect(error, { depth: 9 }).includes("never-to-be-seen"));
      return true;
    });
  }
  assert.equal(auth.apiKey(), "sk-before");
});

test("no view of a manager shows the secret", async (t) => {
  const home = await tempHome(t);
  const stored = fileAuthManager({ home });
  await stored.loginWithApiKey(SECRET);
  for (const auth of [stored, memoryAuthManager({ apiKey: SECRET })]) {
    let logged = "";
    const sink = new Writable({
      write(chunk, _, done) {
        logged += String(chunk);
        done();
      },
    });
    pino(sink).info({ auth, nested: { auth } }, "views");
    const views = [
      inspect(auth, { depth: 9, showHidden: true }),
      inspect({ auth }, { depth: 9 }),
      JSON.stringify({ auth }),
      String(auth),
      JSON.stringify(Object.getOwnPropertyDescriptors(auth)),
      logged,
    ];
    for (const view of views) assert.ok(!view.includes("never-to-be-seen"), view);
    assert.equal(inspect(auth), "AuthManager { authMethod: apikey }");
    assert.equal(JSON.stringify(auth), '{"authMethod":"apikey"}');
    assert.match(logged, /"auth":\{"authMethod":"apikey"\}/);
  }
});

test("a malformed or unreadable auth.json counts as not signed in, and the log does not quote it", async (t) => {
  const home = await tempHome(t);
  const path = join(home, "auth.json");
  for (const text of [`{"OPENAI_API_KEY": "${SECRET}"`, SECRET, "[]", '{"OPENAI_API_KEY": 7}', '{"tokens": {}}', ""]) {
    await writeFile(path, text);
    const log = keptLog();
    const auth = fileAuthManager({ home, logger: log });
    assert.deepEqual(auth.status(), { authMethod: null });
    assert.deepEqual(log.lines, [{ details: { path }, message: "auth.json is malformed; counts as not signed in" }]);
  }
});

test("a login that cannot be stored fails, and leaves the manager as it was", async (t) => {
  const home = await tempHome(t);
  await writeFile(join(home, "file"), "");
  const auth = fileAuthManager({ home: join(home, "file") });
  const seen = watched(auth);
  await assert.rejects(auth.loginWithApiKey(SECRET), (error) => {
    assert.ok(error instanceof StoreIoError);
    assert.ok(!inspect(error, { depth: 9 }).includes("never-to-be-seen"));
    return true;
  });
  assert.deepEqual(auth.status(), { authMethod: null });
  assert.deepEqual(seen, []);
});
