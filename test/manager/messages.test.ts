/** The supervisor's messages, with `ask` and with a plain reply, and the facade's members; wrong ones too. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ask, memoryStore, type SupervisorMessage, ThreadManager } from "../../src/index.ts";
import { hang, say } from "../../src/model/script.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { settled } from "../kernel/settled.ts";
import { linesOf, next, rig, until } from "../rig.ts";

type Reply = { ok: boolean; value?: unknown; error?: { code?: string; message?: string } };

/** Sends as an orchestrator does that knows neither promise nor facade. */
const told = (manager: ThreadManager, message: object): Promise<Reply> =>
  new Promise((resolve) => manager.supervisor.send({ ...message, reply: resolve } as SupervisorMessage));

suite("supervisor messages", () => {
  test("every message with a plain reply", async () => {
    await using r = await rig();
    const { manager } = r;
    const spawned = (await told(manager, { type: "thread.spawn", config: { model: "m" } })) as Reply & {
      value: { threadId: string; thread: { id: string }; sessionConfigured: { type: string; model: string } };
    };
    const { threadId, thread, sessionConfigured } = spawned.value;
    assert.deepEqual([sessionConfigured.type, sessionConfigured.model], ["session_configured", "m"]);
    assert.deepEqual(await told(manager, { type: "thread.get", threadId }), { ok: true, value: thread });
    assert.deepEqual(await told(manager, { type: "thread.list" }), { ok: true, value: [threadId] });
    const op = { type: "user_input", items: [{ type: "text", text: "hi" }] };
    assert.deepEqual(await told(manager, { type: "thread.send", threadId, op }), { ok: true, value: "0" });
    await until(() => r.model.asked === 1);
    assert.deepEqual(await told(manager, { type: "thread.send", threadId, op: { type: "interrupt" }, id: "mine" }), {
      ok: true,
      value: "mine",
    });
    const forked = (await told(manager, { type: "thread.fork", from: threadId })) as typeof spawned;
    assert.notEqual(forked.value.threadId, threadId);
    assert.deepEqual(await told(manager, { type: "thread.remove", threadId }), { ok: true, value: thread });
    assert.deepEqual(await told(manager, { type: "thread.remove", threadId }), { ok: true, value: undefined });
    assert.equal((await told(manager, { type: "thread.get", threadId })).error?.code, "thread_not_found");
    await (thread as unknown as { shutdown(): Promise<unknown> }).shutdown();
    const resumed = (await told(manager, { type: "thread.resume", threadId })) as typeof spawned;
    assert.deepEqual([resumed.value.threadId, resumed.value.thread === thread], [threadId, false]);
  });

  test("ask gives the reply's value or throws its error; a message without reply is carried out all the same", async () => {
    await using r = await rig();
    const { supervisor } = r.manager;
    const { threadId, thread } = await ask(supervisor, { type: "thread.spawn" });
    assert.equal(await ask(supervisor, { type: "thread.get", threadId }), thread);
    await assert.rejects(ask(supervisor, { type: "thread.get", threadId: newThreadId() }), {
      code: "thread_not_found",
    });
    supervisor.send({ type: "thread.spawn" });
    await until(() => r.manager.capacity().residentThreads.used === 2);
    supervisor.send({ type: "thread.get", threadId: "nonsense", reply: 5 } as never);
    supervisor.send({
      type: "thread.list",
      reply: () => {
        throw new Error("mine");
      },
    });
    await settled();
    assert.equal((await ask(supervisor, { type: "thread.list" })).length, 2);
  });

  test("an ask that is aborted or late undoes what it asked for", async () => {
    await using r = await rig({ clock: undefined as never });
    const { supervisor } = r.manager;
    const created: string[] = [];
    r.manager.threadCreated$.subscribe(({ id }) => created.push(id));
    const controller = new AbortController();
    r.manager.threadCreated$.subscribe(() => controller.abort("enough"));
    await assert.rejects(
      ask(supervisor, { type: "thread.spawn" }, { signal: controller.signal }),
      (error) => error === "enough",
    );
    assert.equal(created.length, 1);
    await until(() => r.manager.capacity().residentThreads.used === 0);
    assert.deepEqual((await r.manager.listThreads()).threads, []);
    await assert.rejects(
      ask(supervisor, { type: "thread.list" }, { signal: AbortSignal.abort("x") }),
      (error) => error === "x",
    );
  });

  const wrong: Record<string, [message: object, code: string]> = {
    "no id": [{ type: "thread.get" }, "invalid_request"],
    "an id that is none": [{ type: "thread.remove", threadId: "nope" }, "invalid_request"],
    "a config that is none": [{ type: "thread.spawn", config: { modell: "x" } }, "invalid_request"],
    "tools that are none": [{ type: "thread.spawn", config: { tools: [{ name: "x" }] } }, "invalid_request"],
    "options that are none": [{ type: "thread.spawn", options: 7 }, "invalid_request"],
    "a parent that is none": [{ type: "thread.spawn", options: { parentThreadId: "x" } }, "invalid_request"],
    "no source": [{ type: "thread.fork" }, "invalid_request"],
    "a source that is none": [{ type: "thread.fork", from: { path: "x" } }, "invalid_request"],
    "a history that is none": [{ type: "thread.fork", from: { history: { type: "x" } } }, "invalid_request"],
    "an anchor that is none": [{ type: "thread.fork", from: newThreadId(), at: "middle" }, "invalid_fork_point"],
    "nothing to resume": [{ type: "thread.resume" }, "invalid_request"],
    "two things to resume": [{ type: "thread.resume", threadId: newThreadId(), rolloutPath: "/x" }, "invalid_request"],
    "an unknown thread": [{ type: "thread.resume", threadId: newThreadId() }, "rollout_not_found"],
    "an unknown file": [{ type: "thread.resume", rolloutPath: "/nowhere" }, "rollout_not_found"],
    "an unknown fork source": [{ type: "thread.fork", from: newThreadId() }, "rollout_not_found"],
    "an unknown message": [{ type: "thread.explode" }, "invalid_request"],
  };
  for (const [name, [message, code]] of Object.entries(wrong)) {
    test(`${name}: a typed error, and nothing has changed`, async () => {
      await using r = await rig();
      const reply = await told(r.manager, message);
      assert.deepEqual([reply.ok, reply.error?.code], [false, code], reply.error?.message);
      assert.deepEqual([await r.manager.listThreadIds(), r.manager.capacity().residentThreads.used], [[], 0]);
    });
  }

  test("after shutdown everything is refused, however it is asked", async () => {
    const r = await rig();
    const { threadId } = await r.manager.startThread();
    await r.manager.shutdown();
    for (const message of [
      { type: "thread.spawn" },
      { type: "thread.get", threadId },
      { type: "thread.list" },
      { type: "thread.resume", threadId },
    ]) {
      assert.equal((await told(r.manager, message)).error?.code, "manager_closed", message.type);
      await assert.rejects(ask(r.manager.supervisor, message as SupervisorMessage), { code: "manager_closed" });
    }
    await assert.rejects(r.manager.startThread(), { code: "manager_closed" });
  });
});

suite("facade", () => {
  test("every member of the public API", async () => {
    await using r = await rig();
    const { manager } = r;
    const created: string[] = [];
    const closed: string[] = [];
    const events: string[] = [];
    manager.threadCreated$.subscribe(({ id }) => created.push(id));
    manager.threadClosed$.subscribe((end) => closed.push(end.threadId));
    manager.events$.subscribe(({ threadId, msg }) => events.push(`${threadId} ${msg.type}`));
    const { threadId, thread } = await manager.startThread();
    assert.deepEqual([created, events], [[threadId], [`${threadId} session_configured`]]);
    assert.equal(await manager.getThread(threadId.toUpperCase()), thread);
    assert.equal(await manager.getThread(`urn:uuid:${threadId}`), thread);
    assert.equal(manager.loadedThread(threadId), thread);
    assert.equal(await manager.sendOp(threadId, { type: "list_mcp_tools" }, { id: "x" }), "x");
    await thread.run("hello");
    const page = await manager.listThreads();
    assert.deepEqual(
      page.threads.map((stored) => [stored.threadId, stored.preview]),
      [[threadId, "hello"]],
    );
    assert.ok((await manager.listModels()).length >= 0);
    assert.equal(manager.sessionSource, "exec");
    assert.ok(manager.authManager && manager.modelsManager && manager.skillsManager && manager.store);
    const fork = await manager.forkThread({ from: threadId });
    assert.deepEqual(await manager.descendants(threadId), [fork.threadId]);
    assert.deepEqual(await manager.ancestors(fork.threadId), [threadId]);
    const removed = await manager.removeThread(threadId);
    assert.equal(removed, thread);
    assert.equal((await thread.run("still there")).lastAgentMessage, "ack: still there");
    await thread.shutdown();
    assert.deepEqual(closed, [threadId]);
    const resumed = await manager.resumeThread(threadId);
    assert.deepEqual(resumed.sessionConfigured.initial_messages?.at(-1)?.type, "task_complete");
    assert.deepEqual(await manager.shutdown(), {
      completed: [fork.threadId, threadId],
      failed: [],
      timedOut: [],
    });
    assert.equal(await manager.shutdown(), await manager.shutdown());
  });

  test("wrong options are named", async () => {
    const wrong = [
      { limits: { events: -1 } },
      { limits: { eventz: 1 } },
      { limits: { events: 1.5 } },
      { limits: { residentThreads: Number.NaN } },
      { residency: { historyBytes: "many" } },
      { supervision: { restart: "always" } },
    ];
    for (const options of wrong) {
      await assert.rejects(ThreadManager.create({ store: memoryStore(), ...options } as never), {
        code: "invalid_request",
      });
    }
    const endless = {
      limits: { residentThreads: Number.POSITIVE_INFINITY },
      residency: {
        historyBytes: Number.POSITIVE_INFINITY,
        unloadAfterMs: Number.POSITIVE_INFINITY,
        trimAfterMs: Number.POSITIVE_INFINITY,
      },
    };
    await using manager = await ThreadManager.create({ store: memoryStore(), ...endless });
    await (await manager.startThread()).thread.run("x");
  });

  test("histories: new, resumed under their own id, forked under a new one", async () => {
    await using r = await rig();
    const { manager } = r;
    const first = await manager.startThread();
    await first.thread.run("a");
    const items = (await linesOf(r.store, first.threadId)).map(({ type, payload }) => ({ type, payload }) as never);
    const forked = await manager.resumeThreadWithHistory(undefined, { type: "forked", items });
    assert.notEqual(forked.threadId, first.threadId);
    const blank = await manager.resumeThreadWithHistory(undefined, { type: "new" });
    assert.equal(blank.sessionConfigured.initial_messages, null);
    const id = newThreadId();
    const own = await manager.resumeThreadWithHistory(undefined, {
      type: "resumed",
      conversation_id: id,
      history: items,
      rollout_path: null,
    });
    assert.deepEqual(
      [own.threadId, own.sessionConfigured.initial_messages?.length],
      [id, forked.sessionConfigured.initial_messages?.length],
    );
    const loaded = await manager.resumeThreadWithHistory(undefined, {
      type: "resumed",
      conversation_id: first.threadId,
      history: [],
      rollout_path: null,
    });
    assert.equal(loaded.thread, first.thread);
    await assert.rejects(manager.resumeThreadWithHistory(undefined, { type: "odd" } as never), {
      code: "invalid_request",
    });
  });

  test("a resume by another model warns once, under auto-compact-0 (SPEC 5.1)", async () => {
    await using r = await rig();
    const { thread, threadId } = await r.manager.startThread({ model: "a" });
    await thread.run("x");
    await thread.shutdown();
    const { thread: again } = await r.manager.resumeThread(threadId, { model: "b" });
    const event = await again.nextEvent();
    assert.equal(event.id, "auto-compact-0");
    assert.match(
      event.msg.type === "warning" ? event.msg.message : "",
      /recorded with model `a` but is resuming with `b`/,
    );
  });
});

suite("two resumes of one id at once", () => {
  test("one live thread, both answered", async () => {
    await using r = await rig();
    const { thread, threadId } = await r.manager.startThread();
    await thread.shutdown();
    const created: string[] = [];
    r.manager.threadCreated$.subscribe(({ id }) => created.push(id));
    const both = await Promise.all([r.manager.resumeThread(threadId), r.manager.resumeThread(threadId)]);
    assert.deepEqual([both[0]?.thread === both[1]?.thread, created], [true, [threadId]]);
  });

  test("an abort of the first, at any moment, does not fail the second", async () => {
    for (let step = 0; step < 30; step += 1) {
      await using r = await rig();
      const { thread, threadId } = await r.manager.startThread();
      await thread.shutdown();
      const controller = new AbortController();
      const first = r.manager.resumeThread(threadId, undefined, { signal: controller.signal });
      first.catch(() => undefined);
      const second = r.manager.resumeThread(threadId);
      for (let n = 0; n < step; n += 1) await Promise.resolve();
      controller.abort("enough");
      const [one, two] = await Promise.allSettled([first, second]);
      assert.ok(one.status === "fulfilled" || one.reason === "enough");
      assert.equal(two.status, "fulfilled", `step ${step}`);
      assert.equal((await (await second).thread.run("x")).status, "completed");
    }
  });

  test("both learn of a failure", async () => {
    await using r = await rig();
    const id = newThreadId();
    const both = await Promise.allSettled([r.manager.resumeThread(id), r.manager.resumeThread(id)]);
    assert.deepEqual(
      both.map((one) => (one.status === "rejected" ? one.reason.code : one.status)),
      ["rollout_not_found", "rollout_not_found"],
    );
    assert.equal(r.manager.capacity().residentThreads.used, 0);
  });

  test("one id is never two threads: a chosen id that is taken, in memory, in the store or unloaded, is refused", async () => {
    await using r = await rig();
    const threadId = newThreadId();
    const both = await Promise.allSettled([
      r.manager.startThread({}, { threadId }),
      r.manager.startThread({}, { threadId }),
    ]);
    assert.deepEqual(
      both.map(({ status }) => status),
      ["fulfilled", "rejected"],
    );
    const taken = { code: "duplicate_thread" };
    await assert.rejects(r.manager.startThread({}, { threadId }), taken);
    await r.clock.advanceAsync(31 * 60_000);
    assert.equal(r.manager.capacity().unloadedThreads, 1);
    await assert.rejects(r.manager.startThread({}, { threadId }), taken);
    await assert.rejects(r.manager.startThread({ ephemeral: true }, { threadId }), taken);
    await (await r.manager.getThread(threadId)).shutdown();
    await assert.rejects(r.manager.startThread({}, { threadId }), taken);
    assert.equal((await r.manager.resumeThread(threadId)).threadId, threadId);
  });
});

suite("abort", () => {
  test("at any moment of a spawn, a fork or a resume: rejected with the reason, and nothing is left", async () => {
    for (const kind of ["spawn", "fork", "resume"] as const) {
      for (let step = 0; step < 40; step += 1) {
        await using r = await rig({ script: [[say("ok")]] });
        const { manager } = r;
        const source = await manager.startThread();
        await source.thread.run("a");
        await source.thread.shutdown();
        const controller = new AbortController();
        const { signal } = controller;
        const working =
          kind === "spawn"
            ? manager.startThread({}, { signal })
            : kind === "fork"
              ? manager.forkThread({ from: source.threadId }, { signal })
              : manager.resumeThread(source.threadId, {}, { signal });
        const outcome = working.then(
          ({ threadId }) => threadId,
          (error: unknown) => error,
        );
        for (let n = 0; n < step; n += 1) await Promise.resolve();
        controller.abort("enough");
        const came = await outcome;
        await settled();
        const stored = (await manager.listThreads()).threads.length;
        const loaded = await manager.listThreadIds();
        if (came === "enough") {
          assert.equal(stored, 1, `${kind} ${step}`);
          if (kind !== "resume") assert.deepEqual(loaded, [], `${kind} ${step}`);
          const again = await manager.resumeThread(source.threadId);
          assert.equal((await again.thread.run("b")).status, "completed");
        } else {
          assert.deepEqual([loaded, stored], [[came], kind === "resume" ? 1 : 2], `${kind} ${step}`);
        }
        assert.equal(manager.capacity().residentThreads.used, (await manager.listThreadIds()).length);
      }
    }
  });

  test("a wait for a place does not take it", async () => {
    await using r = await rig({ limits: { residentThreads: 1 }, script: [[hang()]] });
    const { thread } = await r.manager.startThread();
    void thread.run("x");
    await until(() => r.model.asked === 1);
    await assert.rejects(r.manager.startThread(), { code: "limit_reached", message: /residentThreads/ });
    const ended = next(thread, "turn_aborted");
    await thread.interrupt();
    await ended;
    await r.manager.startThread();
    assert.deepEqual([thread.actor, r.manager.capacity().residentThreads.used], [undefined, 1]);
  });
});
