/** Whatever takes options refuses what it does not know, on every method of the facade: one that is new has to say so here. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequestError, memoryStore, say, scriptedClient, ThreadManager } from "../../src/index.ts";

/** Each call with options of any kind. `o` is what is given for them. */
// biome-ignore lint/suspicious/noExplicitAny: a program without types
type Call = (o: any, on: { m: any; t: any; c: any; g: any; id: string }) => unknown;

const op = { type: "interrupt" };
const input = { type: "user_input", items: [{ type: "text", text: "x" }] };

const THREAD: Readonly<Record<string, Call>> = {
  setBudget: (o, { t }) => t.setBudget(o),
  schedule: (o, { t }) => t.schedule({ after: 1e6 }, op, o),
  submit: (o, { t }) => t.submit(op, o),
  submitWithId: (o, { t }) => t.submitWithId({ id: "one", op }, o),
  outcomeOf: (o, { t }) => t.outcomeOf("one", o),
  ready: (o, { t }) => t.ready(o),
  nextEvent: (o, { t }) => t.nextEvent(o),
  events: (o, { t }) => t.events(o),
  run: (o, { t }) => t.run("x", o),
  compact: (o, { t }) => t.compact(o),
  rollback: (o, { t }) => t.rollback(1, o),
  review: (o, { t }) => t.review({ type: "custom", instructions: "x" }, o),
  step: (o, { t }) => t.step("once", () => 1, o),
  interrupt: (o, { t }) => t.interrupt(o),
  monitor: (o, { t, id }) => t.monitor(id, o),
  link: (o, { t, id }) => t.link(id, o),
  send: (o, { t, id }) => t.send(id, { type: "note" }, o),
  request: (o, { t, id }) => t.request(id, { type: "note" }, o),
  publish: (o, { t }) => t.publish("news", { type: "note" }, o),
  shutdown: (o, { t }) => t.shutdown(o),
};

const MANAGER: Readonly<Record<string, Call>> = {
  startThread: (o, { m }) => m.startThread({}, o),
  resumeThreadFromRollout: (o, { m }) => m.resumeThreadFromRollout({}, "/nowhere", o),
  resumeThreadWithHistory: (o, { m }) => m.resumeThreadWithHistory({}, { type: "new" }, o),
  resumeThread: (o, { m, id }) => m.resumeThread(id, {}, o),
  forkThread: (o, { m, id }) => m.forkThread({ from: id }, o),
  removeThread: (o, { m, id }) => m.removeThread(id, o),
  deleteThread: (o, { m, id }) => m.deleteThread(id, o),
  getThread: (o, { m, id }) => m.getThread(id, o),
  listThreads: (o, { m }) => m.listThreads(o),
  recoverThreads: (o, { m }) => m.recoverThreads(o),
  sendOp: (o, { m, id }) => m.sendOp(id, op, o),
  send: (o, { m, id }) => m.send(id, { type: "note" }, o),
  request: (o, { m, id }) => m.request(id, { type: "note" }, o),
  publish: (o, { m, id }) => m.publish(id, "news", { type: "note" }, o),
  map: (o, { m }) => m.map(["x"], o),
  gather: (o, { m }) => m.gather([() => 1], o),
  race: (o, { m }) => m.race([() => 1], o),
  tournament: (o, { m, id }) => m.tournament(id, 1, o?.nonsense === 1 ? { prompt: "x", score: () => 1, ...o } : o),
  group: (o, { m }) => m.group(o),
  shutdownTree: (o, { m, id }) => m.shutdownTree(id, o),
  shutdown: (o, { m }) => m.shutdown(o),
};

const AGENTS: Readonly<Record<string, Call>> = {
  spawnAgent: (o, { c }) => c.spawnAgent({}, "x", o),
  sendPrompt: (o, { c, id }) => c.sendPrompt(id, "x", o),
  interrupt: (o, { c, id }) => c.interrupt(id, o),
  shutdownAgent: (o, { c, id }) => c.shutdownAgent(id, o),
  waitFor: (o, { c, id }) => c.waitFor([id], o),
  shutdownTree: (o, { c, id }) => c.shutdownTree(id, o),
};

const GROUP: Readonly<Record<string, Call>> = {
  startThread: (o, { g }) => g.startThread({}, o),
  add: (o, { g, id }) => g.add(id, o),
  group: (o, { g }) => g.group(o),
  stop: (o, { g }) => g.stop(o),
  quiet: (o, { g }) => g.quiet(o),
};

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
    "livesBetween",
    "bringBack",
  ],
  manager: [],
  agents: [],
  group: ["adopt", "begin", "noteEnd", "noteReturned", "noteGone", "close"],
};

const methodsOf = (value: object): string[] => {
  const prototype = Object.getPrototypeOf(value);
  return Object.getOwnPropertyNames(prototype).filter(
    (name) => name !== "constructor" && typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === "function",
  );
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
    const known = [...Object.keys(calls), ...PLAIN[which], ...INNER[which]];
    assert.deepEqual(methodsOf(of).toSorted(), known.toSorted(), which);
    for (const [name, call] of Object.entries(calls)) {
      for (const options of [{ nonsense: 1 }, 5, "x", null, [], true]) {
        const what = `${which}.${name}(${JSON.stringify(options)})`;
        await assert.rejects(
          async () => call(options, { m, t, c, g, id }),
          (error) => error instanceof InvalidRequestError || assert.fail(`${what}: ${String(error)}`),
          what,
        );
      }
    }
  }
  assert.equal((await m.listThreadIds()).length, 2);
  assert.deepEqual(t.timers, []);
  assert.equal(await t.step("once", () => 2), 2);
  assert.equal((await t.run("still here")).lastAgentMessage, "ok");
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
