/** Whatever takes options refuses what it does not know, on every method of the facade: one that is new has to say so here. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryStore, say, scriptedClient, ThreadManager } from "../../src/index.ts";
import { AGENTS, GROUP, MANAGER, namesAllMethods, refusesWrongOptions, THREAD } from "./option-walk.ts";

const input = { type: "user_input", items: [{ type: "text", text: "x" }] };

/** Methods that take no options. */
const PLAIN = {
  thread: ["budget", "setPriority", "cancelTimer", "monitors", "subscribe"],
  manager: [
    ...["toJSON", "loadedThread", "listThreadIds", "published$", "mailOf", "listModels", "parentOf", "agentControl"],
    ...["pendingApprovals", "capacity", "restartsOf", "priceOf", "tree", "descendants", "ancestors"],
  ],
  agents: ["getStatus", "subscribeStatus", "tree", "list", "capacity"],
  group: ["toJSON", "threads", "stopMember", "restartMember", "dropMember", "revive"],
};
/** For the manager alone. */
const INNER = {
  thread: [
    "closedError",
    "adopt",
    "close",
    "notify",
    "observe",
    "following",
    "goesOnWith",
    "inMemory",
    "bringBack",
    "noteUndelivered",
  ],
  manager: [],
  agents: [],
  group: ["adopt", "begin", "noteEnd", "noteReturned", "noteGone", "close"],
};

test("every call refuses options that it does not know, and what are no options, and does nothing then", async () => {
  await using m = await ThreadManager.create({ store: memoryStore(), model: scriptedClient(() => [say("ok")]) });
  const { thread: t } = await m.startThread();
  const { threadId: id } = await m.startThread();
  const c = m.agentControl();
  const g = await m.group();
  for (const [which, of, calls] of [
    ["thread", t, THREAD],
    ["manager", m, MANAGER],
    ["agents", c, AGENTS],
    ["group", g, GROUP],
  ] as const) {
    namesAllMethods(which, of, [...Object.keys(calls), ...PLAIN[which], ...INNER[which]]);
    await refusesWrongOptions(which, calls, { m, t, c, g, id });
  }
  assert.equal((await m.listThreadIds()).length, 2);
  assert.deepEqual(t.timers, []);
  assert.equal(await t.step("once", () => 2), 2);
  assert.equal((await t.run("still here")).lastAgentMessage, "ok");
});

test("a priority that is none is refused", async () => {
  await using m = await ThreadManager.create({ store: memoryStore(), model: scriptedClient(() => [say("ok")]) });
  const { thread: t } = await m.startThread();
  for (const given of [undefined, null, "nonsense", {}, Number.NaN])
    await assert.rejects(t.setPriority(given as never), { code: "invalid_request" }, String(given));
});

test("an op that says nothing is refused by whatever takes one", async () => {
  await using m = await ThreadManager.create({ store: memoryStore(), model: scriptedClient(() => [say("ok")]) });
  const { thread: t, threadId } = await m.startThread();
  const review = (target: unknown) => ({ type: "review", review_request: { target } }) as never;
  for (const target of [undefined, null, 5, {}, { type: "baseBranch" }, { type: "custom", instructions: " " }]) {
    for (const call of [
      () => t.review(target as never),
      () => t.submit(review(target)),
      () => t.submitWithId({ id: "r", op: review(target) }),
      () => t.schedule({ after: 1e6 }, review(target)),
      () => m.sendOp(threadId, review(target)),
    ])
      await assert.rejects(call, { code: "invalid_request", message: /^op review: / });
  }
  await assert.rejects(t.schedule({ after: 1e6 }, { ...input, items: [{ type: "video" }] } as never), {
    code: "invalid_request",
  });
});
