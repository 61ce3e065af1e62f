/** `skein app-server --new-files`: what a start leaves on the disk. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { ended, jsonLines, printed, skein, start } from "./skein.ts";
import { tempFolder } from "./temp-home.ts";

const lines = (requests: readonly object[]): string =>
  requests.map((request) => `${JSON.stringify(request)}\n`).join("");

const STARTS = lines([
  { id: 1, method: "initialize", params: { clientInfo: { name: "t", version: "0" } } },
  { method: "initialized" },
  { id: 2, method: "thread/start", params: {} },
]);
const ASKS = lines([{ id: 3, method: "thread/loaded/list", params: {} }]);

const rolloutsIn = (home: string): string[] =>
  readdirSync(home, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".jsonl"));

for (const [newFiles, count] of [
  ["with-first-line", 0],
  ["at-start", 1],
] as const) {
  test(`${newFiles}: ${count} files behind a start, and one behind the server's end`, async (t) => {
    const home = await tempFolder(t);
    const child = start(["app-server", "--home", home, "--new-files", newFiles], { env: { HOME: home } });
    t.after(() => child.kill());
    const started = printed(child, /"id":2,"result".*\n/);
    child.stdin.write(STARTS);
    await started;
    assert.equal(rolloutsIn(home).length, count);
    const listed = printed(child, /"id":3,"result".*\n/);
    child.stdin.write(ASKS);
    const answers = jsonLines(await listed);
    const loaded = answers.find(({ id }) => id === 3)?.result;
    assert.equal(Object(loaded).data.length, 1);
    const end = ended(child);
    child.stdin.end();
    assert.equal((await end).code, 0);
    assert.equal(rolloutsIn(home).length, 1);
  });
}

test("another word is refused with the ones that there are", async () => {
  const { code, stderr } = await skein(["app-server", "--new-files", "never"]);
  assert.equal(code, 2);
  assert.match(stderr, /at-start, with-first-line/);
});
