/** Durable messages: SEMANTICS 9.6 and 9.7. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { fromCallback } from "xstate";
import * as z from "zod";
import {
  type DeadLetter,
  defineThreadLogic,
  fileStore,
  MessageRefusedError,
  memoryStore,
  OverloadedError,
  ThreadManager,
} from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { settled } from "../kernel/settled.ts";
import { latch, linesOf, type Rig, rig, until } from "../rig.ts";

const got: unknown[] = [];
let gate = latch();

const reader = defineThreadLogic({
  messages: { note: z.object({ n: z.number() }), slow: z.object({ n: z.number() }) },
  receive: {
    note: ({ n }, { attempt }) => void got.push([n, attempt]),
    slow: async ({ n }, { attempt }) => {
      await gate.opened;
      got.push([n, attempt]);
    },
  },
  turn: () => "x",
});

const lettersOf = (r: Rig): DeadLetter[] => {
  const seen: DeadLetter[] = [];
  r.manager.deadLetters$.subscribe((letter) => seen.push(letter));
  return seen;
};
const reasonOf = ({ error }: DeadLetter) => error instanceof MessageRefusedError && error.reason;
const mailSize = (r: Rig) => runtimeOf(r.manager)?.messages.left().mail;

suite("durable messages", () => {
  test("SEMANTICS 9.6: stored before `send` resolves, handled in order, and gone then", async () => {
    got.length = 0;
    await using r = await rig({ threadLogic: reader });
    const { thread } = await r.manager.startThread();
    for (const n of [1, 2, 3]) await r.manager.send(thread, { type: "note", n }, { durable: true });
    await until(() => got.length === 3 && mailSize(r) === 0);
    assert.deepEqual(
      got,
      [1, 2, 3].map((n) => [n, 1]),
    );
    assert.equal(await r.store.notes?.read(thread.id, "mail"), undefined);
  });

  test("SEMANTICS 9.6: an orderly end of the process loses none, counts none, and the next load has them", async () => {
    got.length = 0;
    gate = latch();
    const store = memoryStore();
    const first = await rig({ store, threadLogic: reader });
    const { thread } = await first.manager.startThread();
    await first.manager.send(thread, { type: "slow", n: 1 }, { durable: true });
    await first.manager.send(thread, { type: "note", n: 2 }, { durable: true });
    await settled();
    await first[Symbol.asyncDispose]();
    assert.deepEqual(got, []);
    gate.open();
    await using r = await rig({ store, threadLogic: reader });
    await r.manager.resumeThread(thread.id);
    await until(() => got.length >= 2 && mailSize(r) === 0);
    assert.deepEqual(got.slice(-2), [
      [1, 1],
      [2, 1],
    ]);
  });

  test("SEMANTICS 9.9: one whose handler gives up since its thread ends comes again", async () => {
    const attempts: number[] = [];
    const giving = defineThreadLogic({
      messages: { job: z.object({}) },
      receive: {
        job: async (_, { thread, attempt }) => {
          attempts.push(attempt);
          if (attempts.length > 1) return;
          await new Promise((resolve) => thread.signal.addEventListener("abort", resolve, { once: true }));
          thread.signal.throwIfAborted();
        },
      },
      turn: () => "x",
    });
    const store = memoryStore();
    const first = await rig({ store, threadLogic: giving });
    const { thread } = await first.manager.startThread();
    await first.manager.send(thread, { type: "job" }, { durable: true });
    await until(() => attempts.length === 1);
    await first[Symbol.asyncDispose]();
    await using r = await rig({ store, threadLogic: giving });
    await r.manager.resumeThread(thread.id);
    await until(() => attempts.length === 2 && mailSize(r) === 0);
    assert.deepEqual(attempts, [1, 1], "an orderly end is not counted");
  });

  test("SEMANTICS 9.7: one that crashes its receiver twice is set aside, and the next is handled", async () => {
    type Command = { type: string; id: string; msg?: object; op?: { type: string; message: { type: string } } };
    const seen: string[] = [];
    const fragile = fromCallback<Command>(({ receive, emit }) => {
      const say = emit as (event: object) => void;
      receive(({ type, id, msg, op }) => {
        if (type === "session.configure") say({ type: "session_configured", id: "", msg });
        if (op?.type === "shutdown") say({ type: "shutdown_complete", id, msg: { type: "shutdown_complete" } });
        if (op?.type !== "thread_message") return;
        seen.push(op.message.type);
        if (op.message.type === "poison") throw new Error("disk on fire");
      });
    });
    await using r = await rig({
      threadLogic: fragile,
      supervision: { backoffMs: 10, random: () => 0 },
      config: { messages: { poison: z.object({}), fine: z.object({}) } },
    });
    const { thread } = await r.manager.startThread();
    const letters = lettersOf(r);
    const how = { durable: true, deadlineMs: 600_000 };
    const sending = [r.manager.send(thread, { type: "poison" }, how), r.manager.send(thread, { type: "fine" }, how)];
    for (let turns = 0; turns < 50 && seen.length < 3; turns += 1) await r.clock.advanceAsync(20);
    await Promise.all(sending);
    await until(() => seen.length === 3);
    assert.deepEqual(seen, ["poison", "poison", "fine"]);
    assert.deepEqual(
      letters.map((letter) => [letter.message.type, reasonOf(letter)]),
      [["poison", "killer"]],
    );
    const { waiting, setAside } = await r.manager.mailOf(thread.id);
    assert.deepEqual(waiting, []);
    assert.deepEqual(
      setAside.map(({ message, attempts }) => [message, attempts]),
      [[{ type: "poison" }, 2]],
    );
    assert.equal(mailSize(r), 0);
  });

  test("SEMANTICS 9.7: one that kills its process twice is set aside by the third", async () => {
    const home = mkdtempSync(join(tmpdir(), "skein-mail-"));
    try {
      const child = fileURLToPath(new URL("mail-child.ts", import.meta.url));
      const run = (...args: string[]) => spawnSync(process.execPath, [child, home, ...args], { encoding: "utf8" });
      const first = run();
      assert.equal(first.signal, "SIGKILL", first.stderr);
      const threadId = first.stdout.trim();
      const second = run(threadId);
      assert.equal(second.signal, "SIGKILL", second.stderr);
      const third = run(threadId);
      assert.equal(third.status, 0, third.stderr);
      assert.deepEqual(JSON.parse(third.stdout), {
        handled: ["fine"],
        setAside: [["killer", 2]],
        letters: ["killer"],
        waiting: [],
      });
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });

  test("SEMANTICS 9.6: recoverThreads loads those that mail waits for, and not those whose mail was only set aside", async () => {
    got.length = 0;
    gate = latch();
    const store = memoryStore();
    const first = await rig({ threadLogic: reader, store });
    const [waits, aside, none] = [
      (await first.manager.startThread()).thread,
      (await first.manager.startThread()).thread,
      (await first.manager.startThread()).thread,
    ];
    await first.manager.send(waits, { type: "slow", n: 1 }, { durable: true });
    await store.notes?.write(aside.id, "mail", { waiting: [], setAside: [] });
    await first[Symbol.asyncDispose]();
    // The life that was cut off waits at its own for ever.
    gate = latch();
    gate.open();
    assert.deepEqual((await store.notes?.threads("mail"))?.length, 2);
    await using r = await rig({ threadLogic: reader, store });
    const { threads } = await r.manager.recoverThreads();
    assert.deepEqual(
      threads.map(({ threadId, outcome }) => [threadId, outcome]),
      [[waits.id, "mail"]],
    );
    await until(() => got.length === 1);
    assert.equal(r.manager.loadedThread(aside.id) ?? r.manager.loadedThread(none.id), undefined);
    assert.deepEqual((await r.manager.mailOf(waits.id)).waiting, []);
  });

  test("SEMANTICS 9.6: a thread that has left memory is loaded for it; one that ends leaves its mail to the dead letters", async () => {
    got.length = 0;
    gate = latch();
    await using r = await rig({ threadLogic: reader, residency: { unloadAfterMs: 1_000 } });
    const { thread } = await r.manager.startThread();
    await r.clock.advanceAsync(5_000);
    assert.equal(r.manager.capacity().unloadedThreads, 1);
    await r.manager.send(thread, { type: "note", n: 1 }, { durable: true });
    await until(() => got.length === 1);
    const letters = lettersOf(r);
    await r.manager.send(thread, { type: "slow", n: 2 }, { durable: true });
    await r.manager.send(thread, { type: "note", n: 3 }, { durable: true });
    await settled();
    const ending = thread.shutdown({ deadlineMs: 100 });
    await settled();
    await r.clock.advanceAsync(1_000);
    await ending;
    await until(() => letters.length === 2);
    assert.deepEqual(
      letters.map(({ why }) => why),
      ["thread_closed", "thread_closed"],
    );
    assert.equal(await r.store.notes?.read(thread.id, "mail"), undefined);
    assert.equal(mailSize(r), 0);
    gate.open();
  });

  test("SEMANTICS 9.6: the mail of a thread is bounded, and what it can't take is refused before it is stored", async () => {
    gate = latch();
    await using r = await rig({ threadLogic: reader, limits: { mailbox: 2 } });
    const { thread } = await r.manager.startThread();
    for (const n of [1, 2]) await r.manager.send(thread, { type: "slow", n }, { durable: true });
    await assert.rejects(r.manager.send(thread, { type: "slow", n: 3 }, { durable: true }), OverloadedError);
    await assert.rejects(r.manager.send(thread, { type: "slow" }, { durable: true }), MessageRefusedError);
    assert.equal((await r.manager.mailOf(thread.id)).waiting.length, 2);
    gate.open();
    await until(() => mailSize(r) === 0);
  });

  test("SEMANTICS 9.6: one that its receiver does not declare any more is set aside", async () => {
    gate = latch();
    const store = memoryStore();
    const first = await rig({ store, threadLogic: reader });
    const { thread } = await first.manager.startThread();
    await first.manager.send(thread, { type: "slow", n: 1 }, { durable: true });
    await first[Symbol.asyncDispose]();
    await using r = await rig({ store, threadLogic: defineThreadLogic({ turn: () => "x" }) });
    const letters = lettersOf(r);
    await r.manager.resumeThread(thread.id);
    await until(() => letters.length === 1);
    assert.deepEqual(letters.map(reasonOf), ["unknown_type"]);
    gate.open();
  });

  test("SEMANTICS 9.10: a thread of the house has it in its history once, whatever became of the process", async () => {
    const store = memoryStore();
    const config = { messages: { note: z.object({ n: z.number() }) } };
    const first = await rig({ store, config });
    const { thread } = await first.manager.startThread();
    await first.manager.send(thread, { type: "note", n: 1 }, { durable: true });
    await until(() => mailSize(first) === 0);
    // As after a death between giving it and noting that.
    const [line] = (await linesOf(store, thread.id)).filter(({ type }) => type === "submission");
    const id = (line?.payload as { id?: string } | undefined)?.id;
    assert.ok(id !== undefined, "its id is spent");
    const letter = { id, from: null, message: { type: "note", n: 1 }, topic: null, attempts: 1, sentAt: 1 };
    await first[Symbol.asyncDispose]();
    await store.notes?.write(thread.id, "mail", { waiting: [letter], setAside: [] });
    await using r = await rig({ store, config });
    await r.manager.resumeThread(thread.id);
    await until(() => mailSize(r) === 0);
    const told = (await linesOf(store, thread.id)).filter((each) =>
      JSON.stringify(each).includes("<subagent_notification>"),
    );
    assert.equal(told.length, 1);
  });
});

test("mail is kept by files as by memory", async () => {
  const home = mkdtempSync(join(tmpdir(), "skein-mail-"));
  try {
    got.length = 0;
    const manager = await ThreadManager.create({ store: fileStore({ home }), threadLogic: reader });
    const { thread } = await manager.startThread();
    await manager.send(thread, { type: "note", n: 1 }, { durable: true });
    await until(() => got.length === 1);
    await manager.shutdown();
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
