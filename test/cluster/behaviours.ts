/** What a program sees of threads, wherever they run: one suite, for a manager and for a cluster. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import * as z from "zod";
import {
  call,
  hang,
  InvalidForkPointError,
  InvalidRequestError,
  type NewThread,
  NoActiveTurnError,
  newThreadId,
  RolloutNotFoundError,
  type Script,
  SkeinError,
  say,
  ThreadClosedError,
  type ThreadEvent,
  ThreadNotFoundError,
  type Threads,
  tool,
} from "../../src/index.ts";
import { until } from "./until.ts";

export type Made = AsyncDisposable & { readonly threads: Threads };
/** @param script what the models of all managers say; the store is new */
export type Make = (script?: Script) => Promise<Made>;

/** Asks for approval before it does anything. */
export const guarded = tool({
  name: "guarded",
  description: "Asks first.",
  input: z.object({ what: z.string() }),
  approval: "always",
  execute: ({ what }) => `did ${what}`,
});

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });
const code = (wanted: string) => (error: unknown) => error instanceof SkeinError && error.code === wanted;

export function threadBehaviours(name: string, make: Make): void {
  const behaves = (what: string, body: (threads: Threads, t: TestContext) => Promise<void>, script?: Script) =>
    test(what, async (t) => {
      await using made = await make(script);
      await body(made.threads, t);
    });

  suite(name, () => {
    behaves("a thread is started, runs turns in order, and shows what they came to", async (threads) => {
      const { thread, threadId, sessionConfigured } = await threads.startThread();
      assert.equal(thread.id, threadId);
      assert.equal(sessionConfigured.session_id, threadId);
      assert.equal(thread.status, "pending_init");
      const first = await thread.run("one");
      assert.deepEqual([first.status, first.lastAgentMessage, first.error], ["completed", "ack: one", null]);
      assert.deepEqual(
        first.items.map(({ type }) => type),
        ["UserMessage", "AgentMessage"],
      );
      assert.deepEqual(thread.status, { completed: "ack: one" });
      assert.equal((await thread.run("two")).lastAgentMessage, "ack: two");
      assert.equal(thread.activeTurn, undefined);
      assert.equal(typeof thread.config.model, "string");
    });

    behaves("events come in order, without gaps, the session first, and one end for each turn", async (threads) => {
      const { thread } = await threads.startThread();
      const seen: ThreadEvent[] = [];
      thread.events$.subscribe((event) => seen.push(event));
      const all = thread.events({ after: -1 });
      assert.equal((await all.next()).value?.msg.type, "session_configured");
      for (const text of ["a", "b", "c"]) await thread.run(text);
      await until(() => seen.filter(({ msg }) => msg.type === "task_complete").length === 3);
      const ends = seen.filter(({ msg }) => msg.type === "task_complete");
      assert.deepEqual(
        ends.map(({ msg }) => msg.type === "task_complete" && msg.last_agent_message),
        ["ack: a", "ack: b", "ack: c"],
      );
      for (const epoch of new Set(seen.map((event) => event.epoch))) {
        const seqs = seen.filter((event) => event.epoch === epoch).map(({ seq }) => seq);
        assert.deepEqual(
          seqs,
          seqs.map((_, index) => (seqs[0] ?? 0) + index),
        );
      }
      const types: string[] = [];
      for await (const { msg } of all) {
        if (msg.type === "task_complete" && types.push(msg.type) === 3) break;
      }
    });

    behaves("nextEvent gives the events one by one, after the session", async (threads) => {
      const { thread } = await threads.startThread();
      const id = await thread.submit(input("hello"));
      const seen: string[] = [];
      for (;;) {
        const event = await thread.nextEvent({ deadlineMs: 20_000 });
        if (event.msg.type === "task_started") assert.equal(event.id, id);
        seen.push(event.msg.type);
        if (event.msg.type === "task_complete") break;
      }
      assert.ok(
        seen.includes("agent_message") && seen.indexOf("task_started") < seen.indexOf("agent_message"),
        String(seen),
      );
    });

    behaves("a submission of the caller's id runs once, however often it is sent", async (threads) => {
      const { thread } = await threads.startThread();
      const id = newThreadId();
      for (let n = 0; n < 3; n += 1) assert.equal(await thread.submitWithId({ id, op: input("once") }), id);
      await until(async () => (await thread.outcomeOf(id)) === "done");
      await thread.submitWithId({ id, op: input("once") });
      assert.equal((await thread.run("after")).lastAgentMessage, "ack: after");
      const fork = await threads.forkThread({ from: thread.id, at: { beforeUserMessage: 1 } });
      assert.equal((await fork.thread.run("fork")).lastAgentMessage, "ack: fork");
      await assert.rejects(
        threads.forkThread({ from: thread.id, at: { throughTurn: newThreadId() } }),
        InvalidForkPointError,
      );
      assert.equal(await thread.outcomeOf(newThreadId()), undefined);
      // The third user message of two would be past the end.
      const page = await threads.listThreads();
      assert.equal(page.threads.length, 2);
    });

    behaves(
      "input for a running turn joins it, and an interrupt ends it",
      async (threads) => {
        const { thread } = await threads.startThread();
        const turn = thread.run("go");
        await until(() => thread.status === "running");
        await thread.submit(input("and more"));
        const { status, lastAgentMessage } = await turn;
        assert.deepEqual([status, lastAgentMessage], ["completed", "with more"]);
        const endless = thread.run("endless");
        await until(() => thread.status === "running");
        await until(() => thread.activeTurn !== undefined);
        await thread.interrupt();
        assert.equal((await endless).status, "interrupted");
        await thread.interrupt();
        await assert.rejects(thread.interrupt({ turnId: newThreadId() }), NoActiveTurnError);
      },
      (request) =>
        JSON.stringify(request.input).includes("endless")
          ? [hang()]
          : JSON.stringify(request.input).includes("and more")
            ? [say("with more")]
            : [hang()],
    );

    behaves(
      "a call waits for its approval; the first answer counts",
      async (threads) => {
        const { thread } = await threads.startThread();
        thread.events$.subscribe(() => undefined);
        const turn = thread.run("do it");
        await until(() => thread.pendingApprovals.length === 1);
        const [asked] = thread.pendingApprovals;
        assert.ok(asked);
        await thread.submit({ type: "exec_approval", id: asked.callId, decision: "approved" });
        const { status, lastAgentMessage } = await turn;
        assert.deepEqual([status, lastAgentMessage], ["completed", "done"]);
        await assert.rejects(
          thread.submit({ type: "exec_approval", id: asked.callId, decision: "approved" }),
          InvalidRequestError,
        );
      },
      [[call("guarded", { what: "this" }, { callId: "call-1" })], [say("done")]],
    );

    behaves(
      "a command of the user's that a turn has been running beside comes to its own end after the turn's",
      async (threads, t) => {
        const folder = await mkdtemp(join(tmpdir(), "skein-beside-"));
        t.after(() => rm(folder, { recursive: true, force: true }));
        const { thread } = await threads.startThread({ cwd: folder });
        const ends: unknown[] = [];
        thread.events$.subscribe(({ msg }) => {
          if (msg.type === "exec_command_end") ends.push(msg.exit_code);
        });
        const turn = thread.run("do it");
        await until(() => thread.pendingApprovals.length === 1);
        const command = "until [ -e begun ]; do : > begun; done; until [ -e on ]; do sleep 0.05; done";
        await thread.submit({ type: "run_user_shell_command", command });
        await until(() => existsSync(join(folder, "begun")));
        await thread.submit({ type: "exec_approval", id: "call-1", decision: "approved" });
        assert.equal((await turn).status, "completed");
        // Meanwhile a worker lets go of threads that are at rest.
        for (let n = 0; n < 10; n += 1) await threads.startThread();
        assert.deepEqual(ends, []);
        await writeFile(join(folder, "on"), "");
        await until(() => ends.length > 0);
        assert.deepEqual(ends, [0]);
      },
      [[call("guarded", { what: "this" }, { callId: "call-1" })], [say("done")]],
    );

    behaves(
      "who runs a turn and listens to nothing has its result when it ends, whatever goes on beside it",
      async (threads, t) => {
        const folder = await mkdtemp(join(tmpdir(), "skein-beside-"));
        t.after(() => rm(folder, { recursive: true, force: true }));
        const { thread } = await threads.startThread({ cwd: folder });
        const turn = thread.run("do it", { deadlineMs: 40_000 });
        const joined = until(() => thread.status === "running").then(() =>
          thread.run("and that", { deadlineMs: 40_000 }),
        );
        const command = "until [ -e begun ]; do : > begun; done; until [ -e on ]; do sleep 0.05; done";
        await until(() => thread.status === "running");
        await thread.submit({ type: "run_user_shell_command", command });
        await until(() => existsSync(join(folder, "begun")));
        const approve = () => thread.submit({ type: "exec_approval", id: "call-1", decision: "approved" });
        await until(() => approve().then(Boolean, () => false));
        const results = await Promise.all([turn, joined]);
        await writeFile(join(folder, "on"), "");
        const [first, second] = results;
        assert.deepEqual([first.status, first.lastAgentMessage], ["completed", "done"]);
        assert.deepEqual([second.turnId, second.lastAgentMessage], [first.turnId, "done"]);
        assert.equal((await thread.run("after")).status, "completed");
      },
      [[call("guarded", { what: "this" }, { callId: "call-1" })], [say("done")]],
    );

    behaves("the last turns are taken back", async (threads) => {
      const { thread } = await threads.startThread();
      await thread.run("one");
      await thread.run("two");
      await thread.rollback(1);
      assert.equal((await thread.run("three")).status, "completed");
      await assert.rejects(thread.rollback(0), InvalidRequestError);
    });

    behaves("a rollback under one id takes back once: sent twice, at once and by either call", async (threads) => {
      const { thread } = await threads.startThread();
      for (const text of ["one", "two", "three"]) await thread.run(text);
      const seen: ThreadEvent[] = [];
      thread.events$.subscribe((event) => seen.push(event));
      const id = newThreadId();
      await Promise.all([thread.rollback(1, { id }), thread.rollback(1, { id })]);
      await thread.rollback(1, { id });
      assert.equal(await thread.submitWithId({ id, op: { type: "thread_rollback", num_turns: 1 } }), id);
      const later: string = newThreadId();
      await thread.submitWithId({ id: later, op: { type: "thread_rollback", num_turns: 1 } });
      await until(() => seen.some((event) => event.id === later && event.msg.type === "thread_rolled_back"));
      const told = seen.filter(({ msg }) => msg.type === "thread_rolled_back");
      assert.deepEqual([told.map((event) => event.id), await thread.outcomeOf(id)], [[id, later], "done"]);
    });

    behaves("settings that an op changes hold for the turns after it", async (threads) => {
      const { thread } = await threads.startThread();
      await thread.submit({ type: "override_turn_context", model: "another" });
      await thread.run("one");
      assert.equal(thread.config.model, "another");
      await thread.run("two");
      assert.equal(thread.config.model, "another");
    });

    behaves("what is removed is found no more, and can be resumed", async (threads) => {
      const { thread, threadId } = await threads.startThread();
      await thread.run("one");
      assert.equal((await threads.getThread(threadId)).id, threadId);
      assert.equal((await threads.removeThread(threadId))?.id, threadId);
      assert.equal(await threads.removeThread(threadId), undefined);
      await assert.rejects(threads.getThread(threadId), ThreadNotFoundError);
      await thread.shutdown();
      await assert.rejects(thread.run("closed"), ThreadClosedError);
      const { thread: again } = await threads.resumeThread(threadId);
      assert.equal((await again.run("again")).lastAgentMessage, "ack: again");
    });

    behaves("who resumes or forks is told what was said before where that is asked for", async (threads) => {
      const { thread, threadId } = await threads.startThread(undefined, { initialMessages: "all" });
      for (const text of ["one", "two"]) await thread.run(text);
      await thread.shutdown();
      const said = ({ sessionConfigured }: Pick<NewThread, "sessionConfigured">) =>
        sessionConfigured.initial_messages?.flatMap((msg) =>
          msg.type === "user_message" || msg.type === "agent_message" ? [msg.message] : [],
        );
      const turns = ["one", "ack: one", "two", "ack: two"];
      for (const initialMessages of ["all", "bounded"] as const) {
        const resumed = await threads.resumeThread(threadId, undefined, { initialMessages });
        assert.deepEqual(said(resumed), turns, initialMessages);
        const fork = await threads.forkThread({ from: threadId, at: { beforeUserMessage: 1 } }, { initialMessages });
        assert.deepEqual(said(fork), turns.slice(0, 2), initialMessages);
        await resumed.thread.shutdown();
      }
      const { sessionConfigured } = await threads.resumeThread(threadId, undefined, { initialMessages: "none" });
      assert.equal(sessionConfigured.initial_messages, null);
    });

    behaves("unknown threads, ids that are taken and malformed ops are told by their errors", async (threads) => {
      const nobody = newThreadId();
      await assert.rejects(threads.getThread(nobody), ThreadNotFoundError);
      await assert.rejects(threads.resumeThread(nobody), RolloutNotFoundError);
      await assert.rejects(threads.sendOp(nobody, input("x")), ThreadNotFoundError);
      await assert.rejects(threads.forkThread({ from: nobody }), RolloutNotFoundError);
      await assert.rejects(threads.getThread("no id"), InvalidRequestError);
      const { thread, threadId } = await threads.startThread();
      await assert.rejects(threads.startThread({}, { threadId }), code("duplicate_thread"));
      await assert.rejects(
        thread.submit({ type: "user_input", items: [{ type: "nonsense" }] } as never),
        InvalidRequestError,
      );
      await assert.rejects(thread.submit({ type: "user_input", items: 5 } as never), InvalidRequestError);
      await assert.rejects(threads.startThread({ model: 5 } as never), InvalidRequestError);
      assert.equal((await thread.run("well")).status, "completed");
    });

    behaves(
      "a wait is given up by its signal or its deadline, and the turn ends with it",
      async (threads) => {
        const { thread } = await threads.startThread();
        const controller = new AbortController();
        const turn = thread.run("endless", { signal: controller.signal });
        await until(() => thread.status === "running" && thread.activeTurn !== undefined);
        controller.abort(new Error("enough"));
        await assert.rejects(turn, /enough/);
        await until(async () => thread.activeTurn === undefined);
        await assert.rejects(thread.run("endless", { deadlineMs: 50 }), code("deadline_exceeded"));
      },
      () => [hang()],
    );

    behaves(
      "a failed model is a failed turn",
      async (threads) => {
        const { thread } = await threads.startThread();
        const { status, error } = await thread.run("fail");
        assert.equal(status, "failed");
        assert.ok(error?.message);
      },
      () => {
        throw new Error("the script fails");
      },
    );

    behaves("prompts are mapped over threads, and a tournament keeps the best", async (threads) => {
      const results = await threads.map(["x", "y", "z"]);
      assert.deepEqual(
        results.map(({ lastAgentMessage }) => lastAgentMessage),
        ["ack: x", "ack: y", "ack: z"],
      );
      const [one, two] = await threads.gather([
        async ({ startThread }) => (await (await startThread()).run("t")).lastAgentMessage,
        Promise.resolve(2),
      ]);
      assert.deepEqual([one, two], ["ack: t", 2]);
      const { thread } = await threads.startThread();
      await thread.run("base");
      const { winner } = await threads.tournament(thread, 3, {
        prompt: (index) => `way ${index}`,
        score: (result) => Number(String(result).at(-1)),
      });
      assert.equal(winner.result, "ack: way 2");
      assert.equal((await threads.descendants(thread.id)).length, 3);
    });
  });
}
