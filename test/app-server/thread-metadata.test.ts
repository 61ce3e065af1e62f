/** What is shown of a thread beside its history: its repository, and the model of its last turn. */
import assert from "node:assert/strict";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileStore } from "../../src/store/file/file-store.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Json, serve } from "./test-client.ts";

const open = (home: string) => serve({ manager: { store: fileStore({ home }) }, server: { home } });
const facts = ({ gitInfo, model, reasoningEffort }: Json) => ({ gitInfo, model, reasoningEffort });

test("git info is patched, and lasts beside the rollout, which stays as it is; so does the last turn's model", async (t) => {
  const home = await folder(t);
  let threadId = "";
  let rollout = "";
  const git = { sha: "abc", branch: "side-branch", originUrl: null };
  {
    await using served = await open(home);
    const { client } = served;
    const { thread } = await client.request("thread/start", {});
    threadId = thread.id;
    const update = async (gitInfo: Json) =>
      (await client.request("thread/metadata/update", { threadId, gitInfo })).thread.gitInfo;
    assert.equal(thread.gitInfo, null);
    assert.deepEqual(await update({ branch: "b0" }), { sha: null, branch: "b0", originUrl: null });
    assert.deepEqual(await update({ originUrl: "u" }), { sha: null, branch: "b0", originUrl: "u" });
    assert.deepEqual(await update({ branch: null, originUrl: null }), null);
    assert.deepEqual(await update({ branch: "side-branch", sha: "abc" }), git);
    const input = [{ type: "text", text: "hi" }];
    await client.request("turn/start", { threadId, input, model: "other", effort: "high" });
    await client.next("turn/completed");
    rollout = await readFile(thread.path, "utf8");
    assert.equal(rollout.includes("side-branch"), false);
  }
  const shown = { gitInfo: git, model: "other", reasoningEffort: "high" };
  const check = async () => {
    await using served = await open(home);
    const { client } = served;
    assert.deepEqual(facts((await client.request("thread/read", { threadId })).thread), shown);
    assert.deepEqual((await client.request("thread/list", {})).data.map(facts), [shown]);
    const resumed = await client.request("thread/resume", { threadId, excludeTurns: true });
    assert.deepEqual(facts(resumed.thread), { gitInfo: git, model: "scripted", reasoningEffort: null });
    assert.deepEqual(await readFile(resumed.thread.path, "utf8"), rollout);
  };
  await check();
  for (const name of await readdir(home)) if (name.includes(".sqlite")) await rm(join(home, name));
  await check();
});

test("what changes nothing, or cannot be, is refused", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const { thread: passing } = await client.request("thread/start", { ephemeral: true });
  const refusal = async (params: Json, threadId = thread.id) =>
    (await client.failure("thread/metadata/update", { threadId, ...params })).message;
  assert.equal(await refusal({}), "thread metadata update must include at least one field");
  assert.equal(await refusal({ gitInfo: null }), "thread metadata update must include at least one field");
  assert.equal(await refusal({ gitInfo: {} }), "gitInfo must include at least one field");
  assert.equal(await refusal({ gitInfo: { sha: "" } }), "gitInfo.sha must not be empty");
  assert.equal(await refusal({ gitInfo: { branch: " " } }), "gitInfo.branch must not be empty");
  assert.equal(await refusal({ projectId: "p" }), "project not found: p");
  const change = { gitInfo: { branch: "b" } };
  assert.equal(await refusal(change, passing.id), `ephemeral thread does not support metadata updates: ${passing.id}`);
  const unknown = "01999999-1111-7222-8333-444455556666";
  assert.equal(await refusal(change, unknown), `no rollout found for thread id ${unknown}`);
});
