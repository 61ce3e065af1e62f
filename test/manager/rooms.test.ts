/** Limits wait where waiting helps: places in memory, and places among the running turns (S6, D1, D2, R1, R2). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Thread, type ThreadManager, tool } from "../../src/index.ts";
import type { Release } from "../../src/kernel/slots.ts";
import { Rooms } from "../../src/manager/rooms.ts";
import type { ModelRequest } from "../../src/model/model-client.ts";
import { call, hang, say, wait } from "../../src/model/script.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import type { Terminals } from "../../src/turn/tools/exec/terminals.ts";
import { settled } from "../kernel/settled.ts";
import { latch, next, rig, until } from "../rig.ts";

const said = ({ input }: Pick<ModelRequest, "input">): string => JSON.stringify(input.at(-1));

suite("places in memory", () => {
  test("a burst of spawns at the cap is served one after another, in order", async () => {
    await using r = await rig({ limits: { residentThreads: 3 } });
    const order: number[] = [];
    const starts = Array.from({ length: 30 }, (_, n) => r.manager.startThread().then(() => order.push(n)));
    await Promise.all(starts);
    assert.deepEqual(order, Array.from(order.keys()));
    assert.deepEqual(r.manager.capacity().residentThreads, { used: 3, free: 0, max: 3 });
  });

  test("a burst of messages to threads that have left memory is served as others become idle", async () => {
    await using r = await rig({ limits: { residentThreads: 3 } });
    const threads: Thread[] = [];
    for (let n = 0; n < 20; n += 1) threads.push((await r.manager.startThread()).thread);
    const results = await Promise.all(threads.map((thread) => thread.run("x")));
    assert.ok(results.every(({ status }) => status === "completed"));
  });

  test("a spawn waits for a thread at work to become idle; an abort takes it out of the queue", async () => {
    const gate = latch();
    await using r = await rig({ limits: { residentThreads: 1 }, script: () => [wait(() => gate.opened), say("ok")] });
    const { thread } = await r.manager.startThread();
    const running = thread.run("x");
    await until(() => r.model.asked === 1);
    const given = new AbortController();
    const givenUp = r.manager.startThread({}, { signal: given.signal });
    const served = r.manager.startThread({}, { signal: new AbortController().signal });
    await settled();
    given.abort(new Error("enough"));
    await assert.rejects(givenUp, { message: "enough" });
    gate.open();
    assert.equal((await running).status, "completed");
    assert.notEqual((await served).thread.actor, undefined);
    assert.equal(thread.actor, undefined);
  });

  test("without a signal of its own, a wait for a thread that stays at work ends by a typed error", async () => {
    await using r = await rig({ limits: { residentThreads: 1, roomDeadlineMs: 30 }, script: [[hang()]] });
    const { thread } = await r.manager.startThread();
    void thread.run("x").catch(() => undefined);
    await until(() => r.model.asked === 1);
    await assert.rejects(r.manager.startThread(), { code: "limit_reached", message: /residentThreads/ });
    const ended = next(thread, "turn_aborted");
    await thread.interrupt();
    await ended;
    await r.manager.startThread();
  });

  test("a thread that was found at work, and came to rest while nobody waited, leaves for the next one", async () => {
    await using r = await rig({ limits: { residentThreads: 1, roomDeadlineMs: 2_000 }, script: [[hang()]] });
    const { thread } = await r.manager.startThread();
    const running = thread.run("x").catch(() => undefined);
    await until(() => r.model.asked === 1);
    const given = new AbortController();
    const refused = r.manager.startThread({}, { signal: given.signal });
    await settled();
    given.abort(new Error("enough"));
    await assert.rejects(refused, { message: "enough" });
    await thread.interrupt();
    await running;
    await settled();
    await r.manager.startThread();
    assert.equal(thread.actor, undefined);
  });

  test("nothing is looked at while nothing happens, and each happening has one look", async () => {
    let looks = 0;
    const rooms = new Rooms({
      limit: 1,
      patienceMs: 60_000,
      leaveIdle: () => {
        looks += 1;
        return undefined;
      },
      evict: async () => true,
      allWait: () => false,
    });
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const [place, before] = [rooms.tryTake() ?? assert.fail(), timers()];
    const waiting = rooms.take(new AbortController().signal);
    await settled();
    assert.deepEqual([looks, timers()], [1, before]);
    rooms.poke();
    await settled();
    assert.deepEqual([looks, timers()], [3, before]);
    place();
    const second = await waiting;
    rooms.poke();
    await settled();
    assert.equal(looks, 3);
    const patient = rooms.take(undefined);
    assert.equal(timers(), before + 1, "who brings no signal waits for so long at most");
    second();
    await patient;
    assert.equal(timers(), before);
  });

  test("three in a row that will not leave, and there is no room: for each who asks anew", async () => {
    let tries = 0;
    const rooms = new Rooms({
      limit: 1,
      patienceMs: 60_000,
      leaveIdle: () => ({}) as LiveThread,
      evict: async () => {
        tries += 1;
        return false;
      },
      allWait: () => false,
    });
    rooms.tryTake();
    for (const after of [3, 6]) {
      await assert.rejects(rooms.take(new AbortController().signal), { code: "limit_reached" });
      await settled();
      assert.equal(tries, after);
    }
  });

  test("a waiter that comes while another one is looked after is looked after too", async () => {
    const idle: LiveThread[] = [];
    const answers: PromiseWithResolvers<boolean>[] = [];
    const left: LiveThread[] = [];
    const places: Release[] = [];
    const rooms = new Rooms({
      limit: 2,
      patienceMs: 60_000,
      leaveIdle: () => idle.shift(),
      evict: async (thread) => {
        left.push(thread);
        places.pop()?.();
        return true;
      },
      allWait: () => {
        const answer = Promise.withResolvers<boolean>();
        answers.push(answer);
        return answer.promise;
      },
    });
    places.push(rooms.tryTake() ?? assert.fail(), rooms.tryTake() ?? assert.fail());
    const { signal } = new AbortController();
    const first = rooms.take(signal);
    await settled();
    assert.equal(answers.length, 1);
    // It comes to rest while the look before has not ended.
    idle.push({} as LiveThread);
    const second = rooms.take(signal);
    answers[0]?.resolve(false);
    await first;
    assert.equal(left.length, 1);
    idle.push({} as LiveThread);
    rooms.poke();
    await settled();
    for (const answer of answers) answer.resolve(false);
    await second;
    assert.equal(left.length, 2);
  });

  test("a thread that comes to rest without a word leaves for whoever waits: a command of the user's beside no turn", async () => {
    await using r = await rig({ limits: { residentThreads: 1 } });
    const { thread } = await r.manager.startThread();
    const { terminals } = thread as LiveThread;
    const command = Promise.withResolvers<void>();
    void (terminals as Terminals).attend(() => command.promise);
    const waiting = r.manager.startThread({}, { signal: new AbortController().signal });
    await settled();
    assert.notEqual(thread.actor, undefined);
    command.resolve();
    await waiting;
    assert.equal(thread.actor, undefined);
  });

  test("a tool that needs a place is refused at once where all are held by turns that wait like its own", async () => {
    let manager: ThreadManager | undefined;
    const start = tool({
      name: "start",
      description: "",
      execute: () =>
        manager?.startThread().then(
          () => "started",
          (error: { code: string }) => error.code,
        ),
    });
    await using r = await rig({
      limits: { residentThreads: 1 },
      tools: [start],
      script: [[call("start")], [say("ok")]],
    });
    manager = r.manager;
    const { thread } = await r.manager.startThread();
    assert.equal((await thread.run("go")).status, "completed");
    const asked = r.model.requests.at(-1);
    assert.match(JSON.stringify(asked?.input.at(-1)), /limit_reached/);
  });

  test("a thread that has ended elsewhere frees its place for whoever waits: removed, shut down, crashed for good", async () => {
    for (const end of ["remove", "shutdown"] as const) {
      await using r = await rig({ limits: { residentThreads: 1 }, script: [[hang()], [say("ok")]] });
      const { thread, threadId } = await r.manager.startThread();
      void thread.run("x").catch(() => undefined);
      await until(() => r.model.asked === 1);
      const waiting = r.manager.startThread({}, { signal: new AbortController().signal });
      await settled();
      if (end === "remove") await r.manager.removeThread(threadId);
      else await thread.shutdown();
      assert.notEqual((await waiting).thread.actor, undefined, end);
    }
  });
});

suite("places among the running turns", () => {
  const delegating = (count: number) => {
    const holder: { manager?: ThreadManager; most: number } = { most: 0 };
    const delegate = tool({
      name: "delegate",
      description: "",
      execute: async () => {
        const runs = Array.from({ length: count }, async () => {
          const { thread } = (await holder.manager?.startThread()) ?? assert.fail();
          return (await thread.run("CHILD")).lastAgentMessage;
        });
        return (await Promise.all(runs)).join();
      },
    });
    return { holder, delegate };
  };

  test("a turn that waits for the turns of others lends its place: one after another in a single place, at any depth", async () => {
    const { holder, delegate } = delegating(3);
    let now = 0;
    let most = 0;
    await using r = await rig({
      limits: { runningTurns: 1 },
      tools: [delegate],
      script: (request) => {
        const text = said(request);
        if (text.includes("PARENT")) return [call("delegate")];
        return [
          wait(async () => {
            now += 1;
            most = Math.max(most, now);
            await Promise.resolve();
            now -= 1;
          }),
          say(text.includes("CHILD") ? "leaf" : "done"),
        ];
      },
    });
    holder.manager = r.manager;
    const { thread } = await r.manager.startThread();
    const result = await thread.run("PARENT");
    assert.deepEqual([result.status, result.lastAgentMessage, most], ["completed", "done", 1]);
    assert.deepEqual(r.manager.capacity().runningTurns, { used: 0, free: 1, waiting: 0, max: 1 });
  });

  test("two calls of one turn: when one is done and works on, the other still gets its turn", async () => {
    const { holder, delegate } = delegating(1);
    await using r = await rig({
      limits: { runningTurns: 1 },
      tools: [delegate],
      script: (request, n) =>
        n === 0 ? [call("delegate"), call("delegate")] : [say(said(request).includes("CHILD") ? "leaf" : "done")],
    });
    holder.manager = r.manager;
    const { thread } = await r.manager.startThread();
    assert.equal((await thread.run("PARENT")).lastAgentMessage, "done");
  });

  test("a tool that listens to another thread's events lends its place as well", async () => {
    let manager: ThreadManager | undefined;
    const listen = tool({
      name: "listen",
      description: "",
      execute: async () => {
        const { thread } = (await manager?.startThread()) ?? assert.fail();
        await thread.submit({ type: "user_input", items: [{ type: "text", text: "CHILD" }] });
        for (;;) {
          const { msg } = await thread.nextEvent();
          if (msg.type === "task_complete") return msg.last_agent_message ?? "";
        }
      },
    });
    await using r = await rig({
      limits: { runningTurns: 1 },
      tools: [listen],
      script: (_, n) => (n === 0 ? [call("listen")] : [say("ok")]),
    });
    manager = r.manager;
    const { thread } = await r.manager.startThread();
    assert.equal((await thread.run("PARENT")).lastAgentMessage, "ok");
  });

  test("an interrupt of a turn that has lent its place leaves none taken", async () => {
    const { holder, delegate } = delegating(1);
    await using r = await rig({
      limits: { runningTurns: 1 },
      tools: [delegate],
      script: (_, n) => (n === 0 ? [call("delegate")] : [hang()]),
    });
    holder.manager = r.manager;
    const { thread } = await r.manager.startThread();
    const running = thread.run("PARENT");
    await until(() => r.model.asked === 2);
    const interrupted = thread.interrupt();
    await r.clock.advanceAsync(200);
    await interrupted;
    assert.equal((await running).status, "interrupted");
    for (const id of await r.manager.listThreadIds()) await r.manager.loadedThread(id)?.interrupt();
    await until(() => r.manager.capacity().runningTurns.used === 0);
  });

  test("a tool that runs its own thread, itself or by way of another, is refused by a typed error; one that only submits is not", async () => {
    const threads: Thread[] = [];
    const runs = (name: string, at: number) =>
      tool({
        name,
        description: "",
        execute: () =>
          threads[at]?.run("INNER").then(
            ({ lastAgentMessage }) => lastAgentMessage,
            (error: { code: string }) => `refused: ${error.code}`,
          ),
      });
    await using r = await rig({
      tools: [runs("first", 0), runs("second", 1)],
      script: (request) => {
        const text = said(request);
        if (text.includes("SELF")) return [call("first")];
        if (text.includes("CYCLE")) return [call("second")];
        if (text.includes("INNER")) return [call("first")];
        return [say(text.includes("refused: invalid_request") ? "refused" : "not refused")];
      },
    });
    for (let n = 0; n < 2; n += 1) threads.push((await r.manager.startThread()).thread);
    const [first] = threads;
    assert.equal((await first?.run("SELF"))?.lastAgentMessage, "refused");
    assert.equal((await first?.run("CYCLE"))?.status, "completed");
    assert.deepEqual(
      threads.map(({ activeTurn }) => activeTurn),
      [undefined, undefined],
    );
  });
});
