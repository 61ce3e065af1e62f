/** Logics whose state outlives their process: in each state, over versions, forks, kills, and when it can't be read. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { assign, emit, setup } from "xstate";
import {
  defineThreadLogic,
  fileStore,
  type PersistentLogic,
  submissionId,
  type Thread,
  type ThreadStore,
} from "../../src/index.ts";
import { header } from "../../src/store/contract/store-script.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { settled } from "../kernel/settled.ts";
import { linesOf, rig, watch } from "../rig.ts";

type Command = { type: string; id: string; msg: object; op: { type: string; items?: { text?: string }[] } };
const STATES = ["open", "paid", "packed", "sent"] as const;

const say = (type: string, more: (context: { steps: number }) => object = () => ({})) =>
  emit(({ context, event }: { context: { steps: number }; event: Command }) => ({
    type,
    id: event.id,
    msg: { type, ...more(context) },
  })) as never;

/** Each input brings it one state further. */
const order = setup({
  types: { context: {} as { steps: number; note?: unknown }, events: {} as Command },
  guards: {
    isInput: ({ event }) => event.op.type === "user_input",
    isEnd: ({ event }) => event.op.type === "shutdown",
  },
}).createMachine({
  context: { steps: 0 },
  initial: "open",
  on: {
    "session.configure": {
      actions: emit(({ event }: { event: Command }) => ({
        type: "session_configured",
        id: "",
        msg: event.msg,
      })) as never,
    },
    "op.submit": { guard: "isEnd", target: ".closed" },
  },
  states: {
    ...Object.fromEntries(
      STATES.map((state, at) => [
        state,
        {
          on: {
            "op.submit": [
              { guard: "isEnd" as const, target: "closed" },
              {
                guard: "isInput" as const,
                target: STATES[at + 1] ?? "sent",
                actions: [
                  assign({ steps: ({ context }) => context.steps + 1 }),
                  say("task_started"),
                  say("agent_message", ({ steps }) => ({ message: `step ${steps}` })),
                  say("task_complete", () => ({ last_agent_message: null })),
                ] as never,
              },
            ],
          },
        },
      ]),
    ),
    closed: { type: "final" },
  },
} as never);

const kept: PersistentLogic = { logic: order, persist: "snapshot" };
const snapshotOf = (thread: Thread) => {
  const snapshot: { value: string; context: { steps: number } } | undefined = thread.actor?.getSnapshot();
  return [snapshot?.value, snapshot?.context.steps];
};

async function withStores(work: (open: () => ThreadStore, memory: ThreadStore) => Promise<void>): Promise<void> {
  const memory = memoryStore();
  await work(() => memory, memory);
  const home = mkdtempSync(join(tmpdir(), "skein-kept-"));
  await work(() => fileStore({ home }), memory);
  rmSync(home, { recursive: true });
}

suite("a machine's snapshot", () => {
  test("goes on in each state, by both stores, over orderly ends and unloading", async () => {
    await withStores(async (open, memory) => {
      let id: string | undefined;
      for (const [at, state] of [...STATES, "sent"].entries()) {
        const r = await rig({ store: open(), logics: { order: kept } });
        const { thread, sessionConfigured } =
          id === undefined ? await r.manager.startThread({ logic: "order" }) : await r.manager.resumeThread(id);
        id = thread.id;
        assert.equal(sessionConfigured.session_id, id);
        assert.deepEqual(snapshotOf(thread), [state, at]);
        const seen = watch(thread);
        assert.equal((await thread.run("go")).status, "completed");
        assert.equal(seen.find(({ msg }) => msg.type === "agent_message")?.epoch, at + 1);
        assert.deepEqual((await r.manager.shutdown()).completed, [id]);
        if (r.store !== memory) await r.store.close();
      }
    });
  });

  test("is written once for a step, and not where nothing has changed", async () => {
    await using r = await rig({ logics: { order: kept } });
    const { thread } = await r.manager.startThread({ logic: "order" });
    await thread.run("go");
    await thread.submit({ type: "list_models" });
    await thread.submit({ type: "list_models" });
    const states = (await linesOf(r.store, thread.id)).filter(({ type }) => type === "logic_state");
    assert.equal(states.length, 2);
    assert.deepEqual(Object(states.at(-1)?.payload).version, 1);
  });

  test("a thread that was stored before its logic kept anything begins in the first state", async () => {
    const store = memoryStore();
    const before = await rig({ store, logics: { order } });
    const { thread, threadId } = await before.manager.startThread({ logic: "order" });
    await thread.run("go");
    assert.deepEqual(snapshotOf(thread), ["paid", 1]);
    await before.manager.shutdown();
    await using r = await rig({ store, logics: { order: kept } });
    assert.deepEqual(snapshotOf((await r.manager.resumeThread(threadId)).thread), ["open", 0]);
  });

  test("a fork begins in the state of the place that it was forked at", async () => {
    await using r = await rig({ logics: { order: kept } });
    const { thread } = await r.manager.startThread({ logic: "order" });
    for (let n = 0; n < 3; n += 1) await thread.run(`go ${n}`);
    const full = await r.manager.forkThread({ from: thread.id, config: { logic: "order" } });
    assert.deepEqual(snapshotOf(full.thread), ["sent", 3]);
    const early = await r.manager.forkThread({
      from: thread.id,
      at: { beforeUserMessage: 2 },
      config: { logic: "order" },
    });
    assert.deepEqual(snapshotOf(early.thread), ["packed", 2]);
    await early.thread.run("go");
    assert.deepEqual(
      [snapshotOf(early.thread), snapshotOf(thread)],
      [
        ["sent", 3],
        ["sent", 3],
      ],
    );
  });

  test("versions: older ones are migrated, newer ones and broken ones refused, or begun anew where that is asked for", async () => {
    const store = memoryStore();
    const open = (logic: PersistentLogic) => rig({ store, logics: { order: logic } });
    const first = await open({ ...kept, version: 2 });
    const { thread } = await first.manager.startThread({ logic: "order" });
    await thread.run("go");
    await first.manager.shutdown();
    const tries: [PersistentLogic, RegExp | [string, number]][] = [
      [{ ...kept, version: 1 }, /is of version 2, and the logic of version 1/],
      [{ ...kept, version: 3 }, /no `migrate`/],
      [
        { ...kept, version: 3, migrate: () => ({ status: "active", value: "gone", context: {} }) },
        /can't be gone on from/,
      ],
      [{ ...kept, version: 3, migrate: async () => ({}) }, /can't be gone on from/],
      [
        {
          ...kept,
          version: 3,
          migrate: () => {
            throw new Error("no way");
          },
        },
        /can't be read: no way/,
      ],
      [
        {
          ...kept,
          version: 3,
          migrate: (state, from) => ({ ...(state as object), context: { steps: 10 * from } }),
        },
        ["paid", 20],
      ],
      [{ ...kept, version: 1, unreadable: "anew" }, ["open", 0]],
      [{ ...kept, version: 4, unreadable: "anew", migrate: () => ({}) }, ["open", 0]],
    ];
    for (const [logic, expected] of tries) {
      await using r = await open(logic);
      if (expected instanceof RegExp) {
        await assert.rejects(r.manager.resumeThread(thread.id), { code: "invalid_request", message: expected });
        assert.equal(r.manager.capacity().residentThreads.used, 0);
        continue;
      }
      const warned: string[] = [];
      r.manager.events$.subscribe(({ msg }) => msg.type === "warning" && warned.push(msg.message));
      const resumed = await r.manager.resumeThread(thread.id);
      assert.deepEqual(snapshotOf(resumed.thread), expected);
      assert.equal(warned.length, logic.unreadable === "anew" ? 1 : 0);
    }
  });

  test("what is no JSON, or too much, is told and not stored; the thread goes on", async () => {
    for (const [note, says] of [
      [new Map(), /context\.note is no plain JSON/],
      [() => 1, /context\.note is no plain JSON/],
      ["x".repeat(2_000), /of at most 1000/],
    ] as const) {
      await using r = await rig({
        logics: { order: { ...kept, maxBytes: 1_000 } },
      });
      const { thread } = await r.manager.startThread({ logic: "order" });
      const seen = watch(thread);
      const snapshot: { context: { note?: unknown } } | undefined = thread.actor?.getSnapshot();
      assert.ok(snapshot);
      snapshot.context.note = note;
      assert.equal((await thread.run("go")).status, "completed");
      await settled();
      const told = seen.flatMap(({ msg }) => (msg.type === "warning" ? [msg.message] : []));
      assert.match(told.join(), says);
    }
  });
});

test("a logic that is defined keeps what its start gave, when it says so", async () => {
  const store = memoryStore();
  const counter = defineThreadLogic<{ count: number }>({
    persist: "snapshot",
    start: ({ saved }) => (saved as { count: number } | undefined) ?? { count: 0 },
    turn: ({ state, text }) => {
      state.count += 1;
      if (text === "fail") throw new Error("no luck");
      return `${state.count}`;
    },
  });
  const first = await rig({ store, threadLogic: counter });
  const { thread } = await first.manager.startThread();
  assert.equal((await thread.run("x")).lastAgentMessage, "1");
  assert.equal((await thread.run("fail")).status, "failed");
  await first.manager.shutdown();
  await using second = await rig({ store, threadLogic: counter });
  const resumed = await second.manager.resumeThread(thread.id);
  assert.equal((await resumed.thread.run("x")).lastAgentMessage, "3");
});

test("a resume reads as much of a thread that has stored many states as of one that has stored few", async () => {
  const read: number[] = [];
  for (const states of [50, 5_000]) {
    const store = memoryStore();
    const writer = await store.create(header());
    for (let n = 1; n <= states; n += 1) writer.append({ type: "logic_state", payload: { version: 1, state: { n } } });
    await writer.close();
    let lines = 0;
    const counted = new Proxy(store, {
      get: (target, name) =>
        name === "load"
          ? async function* (...args: Parameters<typeof store.load>) {
              for await (const page of target.load(...args)) {
                lines += page.length;
                yield page;
              }
            }
          : Reflect.get(target, name, target).bind?.(target),
    });
    let saved: unknown;
    const logic = defineThreadLogic({
      persist: "snapshot",
      start: (input) => {
        saved = input.saved;
        return input.saved as { n: number };
      },
      turn: () => "done",
    });
    await using r = await rig({ store: counted, threadLogic: logic });
    const { thread } = await r.manager.resumeThread(writer.threadId, undefined, { initialMessages: "none" });
    await thread.run("x");
    assert.deepEqual(saved, { n: states });
    read.push(lines);
  }
  assert.ok((read[1] ?? 0) <= 512, `lines read: ${read.join(", ")}`);
});

test("old states are not parsed: not by a resume, by a caller's id, by the history, nor by the first turn", async (t) => {
  const home = mkdtempSync(join(tmpdir(), "skein-states-"));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const store = fileStore({ home, fsync: "never" });
  let parsed = 0;
  const { parse } = JSON;
  t.mock.method(JSON, "parse", (text: string, ...rest: []) => {
    if (text.includes('"type":"logic_state"')) parsed += 1;
    return parse(text, ...rest) as unknown;
  });
  const logic = defineThreadLogic({
    persist: "snapshot",
    start: ({ saved }) => saved as { n: number },
    turn: async ({ state, thread }) => {
      state.n += 1;
      return `${(await thread.history()).length} known, state ${state.n}`;
    },
  });
  await using r = await rig({ store, threadLogic: logic });
  const byResume: number[] = [];
  for (const states of [1_000, 4_000]) {
    const writer = await store.create(header());
    writer.append({ type: "response_item", payload: { type: "message", role: "user", content: [] } });
    for (let n = 1; n <= states; n += 1) writer.append({ type: "logic_state", payload: { version: 1, state: { n } } });
    await writer.close();
    parsed = 0;
    const { thread } = await r.manager.resumeThread(writer.threadId);
    byResume.push(parsed);
    parsed = 0;
    assert.equal(await thread.outcomeOf(submissionId("never-seen")), undefined);
    const { lastAgentMessage } = await thread.run("x");
    assert.match(lastAgentMessage ?? "", new RegExp(`^[1-9] known, state ${states + 1}$`));
    assert.ok(parsed <= 2, `parsed after the resume, of ${states}: ${parsed}`);
  }
  // The last of them are looked at to find the newest.
  const [few = 0, many = 0] = byResume;
  assert.ok(many <= few + 8 && many <= 600, `parsed by the resumes: ${byResume.join(", ")}`);
});
