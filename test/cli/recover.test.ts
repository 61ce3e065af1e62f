/** `skein recover`, and an app-server that does the same as it starts, on a home that a killed process has left. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileStore } from "../../src/index.ts";
import { killedAt, tempFolder } from "../recovery/killed.ts";
import { dyingSteps } from "../recovery/steps.ts";
import { linesOf } from "../rig.ts";
import { ended, skein, start } from "./skein.ts";

const steps = dyingSteps.filter(({ name }) => name.startsWith("in the request") || name.startsWith("in the answer"));

async function leftHome(t: TestContext) {
  const home = tempFolder();
  const left = await killedAt(steps, { kind: "file", place: home.path });
  t.after(() => {
    for (const { folder } of left.values()) folder[Symbol.dispose]();
    home[Symbol.dispose]();
  });
  return { home: home.path, ids: [...left.values()].map(({ threadId }) => threadId) };
}

test("skein recover goes on with what was left open, waits for it, and finds nothing the next time", async (t) => {
  const { home, ids } = await leftHome(t);
  const { code, stdout, stderr } = await skein(["recover", "--home", home, "--json"]);
  assert.equal(code, 0, stderr);
  const { threads } = JSON.parse(stdout) as { threads: { threadId: string; outcome: string; turn: string }[] };
  assert.deepEqual(
    threads.map(({ threadId, outcome, turn }) => [threadId, outcome, turn]).toSorted(),
    ids.map((id) => [id, "continued", "completed"]).toSorted(),
  );
  assert.equal((await skein(["recover", "--home", home])).stdout, "no thread has an open turn or mail\n");
});

test("an app-server whose config.toml says so goes on with them as it starts", async (t) => {
  const { home, ids } = await leftHome(t);
  writeFileSync(join(home, "config.toml"), 'recovery = "continue"\n');
  const server = start(["app-server", "--home", home, "--listen", `unix://${home}/socket`]);
  const end = ended(server);
  const store = fileStore({ home, fsync: "never" });
  const isDone = async () => {
    const texts = await Promise.all(ids.map(async (id) => JSON.stringify(await linesOf(store, id))));
    return texts.every((text) => text.includes('"task_complete"'));
  };
  for (let n = 0; n < 600 && !(await isDone()); n += 1) await delay(50);
  const done = await isDone();
  server.kill("SIGTERM");
  const { stderr } = await end;
  await store.close();
  assert.ok(done, stderr);
});
