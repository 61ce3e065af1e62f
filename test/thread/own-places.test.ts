/** A thread whose own logic waits for other threads lends its place among the running turns (D1), whatever kind of logic. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type AnyActorLogic, fromCallback, fromObservable, fromPromise, fromTransition, setup } from "xstate";
import { defineThreadLogic, type OwnLogicInput, type Thread, type ThreadManager, tool } from "../../src/index.ts";
import { call, hang, say, wait } from "../../src/model/script.ts";
import { observe, settled } from "../kernel/settled.ts";
import { linesOf, type Rig, rig, until, watch } from "../rig.ts";

type Emitted = { type: string; id: string; msg: { type: string; [field: string]: unknown } };
type Emit = (event: Emitted) => void;
type Op = { id: string; op: { type: string } };

/** What each turn does; given its thread. */
type Work = (input: OwnLogicInput) => Promise<string>;

/** Answers an op, an input by the work. */
async function answer(input: OwnLogicInput, { id, op }: Op, send: Emit, work: Work): Promise<void> {
  const told = (msg: Emitted["msg"]) => send({ type: msg.type, id, msg });
  if (op.type === "shutdown") told({ type: "shutdown_complete" });
  if (op.type !== "user_input") return;
  told({ type: "task_started", turn_id: `t${id}` });
  const last = await work(input);
  told({ type: "task_complete", turn_id: `t${id}`, last_agent_message: last });
}

const configured = (input: OwnLogicInput, send: Emit) =>
  send({ type: "session_configured", id: "", msg: input.sessionConfigured as never });

/** The same in each kind of logic. */
const kinds: Record<string, (work: Work) => AnyActorLogic> = {
  machine: (work) =>
    setup({
      types: { input: {} as OwnLogicInput, context: {} as { input: OwnLogicInput } },
      actors: {
        answer: fromPromise<void, { input: OwnLogicInput; event: Op; send: Emit }>(
          ({ input: { input, event, send } }) => answer(input, event, send, work),
        ),
      },
    }).createMachine({
      context: ({ input }) => ({ input }),
      initial: "idle",
      states: {
        idle: {
          entry: ({ context }) => configured(context.input, publisher(context.input)),
          on: { "op.submit": "busy" },
        },
        ready: { on: { "op.submit": "busy" } },
        busy: {
          invoke: {
            src: "answer",
            input: ({ context, event }) => ({
              input: context.input,
              event: event as never,
              send: publisher(context.input),
            }),
            onDone: "ready",
          },
        },
      },
    }),
  callback: (work) =>
    fromCallback<{ type: string }, OwnLogicInput>(({ input, receive, emit }) => {
      configured(input, emit as unknown as Emit);
      receive((event) => {
        if (event.type === "op.submit") void answer(input, event as never, emit as unknown as Emit, work);
      });
    }),
  transition: (work) =>
    fromTransition(
      (state: { input: OwnLogicInput }, event: { type: string }) => {
        if (event.type === "session.configure") configured(state.input, publisher(state.input));
        if (event.type === "op.submit") void answer(state.input, event as never, publisher(state.input), work);
        return state;
      },
      ({ input }: { input: OwnLogicInput }) => ({ input }),
    ),
  promise: (work) =>
    fromPromise<void, OwnLogicInput>(async ({ input }) => {
      const ops = input.thread.ops();
      configured(input, publisher(input));
      for await (const event of ops) await answer(input, event as never, publisher(input), work);
    }),
  observable: (work) =>
    fromObservable<void, OwnLogicInput>(({ input }) => ({
      subscribe: ((observer: { complete?: () => void }) => {
        void (async () => {
          const ops = input.thread.ops();
          configured(input, publisher(input));
          for await (const event of ops) await answer(input, event as never, publisher(input), work);
          observer.complete?.();
        })();
        return { unsubscribe: () => undefined };
      }) as never,
    })),
  defined: (work) => defineThreadLogic({ turn: (input) => work(input) }),
};

const publisher =
  ({ thread }: OwnLogicInput): Emit =>
  ({ id, msg }) =>
    thread.publish(id, msg as never);

/** How many model requests run at once. */
class Load {
  now = 0;
  peak = 0;

  script = () => [
    wait(async () => {
      this.now += 1;
      this.peak = Math.max(this.peak, this.now);
      await settled();
      this.now -= 1;
    }),
    say("done"),
  ];
}

const free = ({ manager }: Rig) => {
  const { used, waiting } = manager.capacity().runningTurns;
  assert.deepEqual({ used, waiting }, { used: 0, waiting: 0 });
};

async function ends<T>(run: Promise<T>): Promise<T> {
  const seen = observe(run);
  await until(() => seen.outcome !== "pending");
  return run;
}

for (const [kind, logicOf] of Object.entries(kinds)) {
  suite(`${kind}, at runningTurns 1`, () => {
    test("awaits a child's turn, two at once, and one by the manager", async () => {
      let manager: ThreadManager | undefined;
      const load = new Load();
      const logic = logicOf(async ({ thread }) => {
        const child = await thread.spawn({ logic: "built-in" });
        const first = await child.run("one");
        const more = await Promise.all(
          ["two", "three"].map(async (text) => (await thread.spawn({ logic: "built-in" })).run(text)),
        );
        const another = await manager?.startThread({ logic: "built-in" });
        const last = await another?.thread.run("four");
        return [first, ...more, last].map((result) => result?.lastAgentMessage).join(" ");
      });
      await using r = await rig({ script: load.script, logics: { own: logic }, limits: { runningTurns: 1 } });
      ({ manager } = r);
      const { thread } = await r.manager.startThread({ logic: "own" });
      const result = await ends(thread.run("x"));
      assert.deepEqual([result.status, result.lastAgentMessage], ["completed", "done done done done"]);
      assert.equal(load.peak, 1);
      free(r);
    });

    test("three levels of it, and two of them beside each other", async () => {
      const load = new Load();
      const below = (logic: string) =>
        logicOf(async ({ thread }) => String((await (await thread.spawn({ logic })).run("x")).lastAgentMessage));
      const logics = { top: below("middle"), middle: below("low"), low: below("built-in") };
      await using r = await rig({ script: load.script, logics, limits: { runningTurns: 1 } });
      const threads = await Promise.all([1, 2].map(() => r.manager.startThread({ logic: "top" })));
      const results = await ends(Promise.all(threads.map(({ thread }) => thread.run("x"))));
      assert.deepEqual(
        results.map(({ lastAgentMessage }) => lastAgentMessage),
        ["done", "done"],
      );
      assert.equal(load.peak, 1);
      free(r);
    });
  });
}

test("its own turn, awaited within itself, is refused; after the turn it is not", async () => {
  const self: { thread?: Thread } = {};
  let refused: unknown;
  const logic = defineThreadLogic({
    turn: async ({ text }) => {
      if (text === "inner") return "inner done";
      refused = await self.thread?.run("inner").catch((error: unknown) => error);
      return "outer done";
    },
  });
  await using r = await rig({ threadLogic: logic, limits: { runningTurns: 1 } });
  const { thread } = await r.manager.startThread();
  self.thread = thread;
  // What an observer does on an event is its own, not the thread's.
  let byObserver: Promise<unknown> | undefined;
  thread.events$.subscribe(({ msg }) => {
    if (msg.type === "agent_message" && msg.message === "outer done") byObserver ??= thread.run("inner");
  });
  const outer = await ends(thread.run("outer"));
  assert.equal(outer.lastAgentMessage, "outer done");
  assert.match(String(refused), /would wait for it/);
  assert.equal(Object(await byObserver).lastAgentMessage, "inner done");
  free(r);
});

test("an interrupt while it waits leaves no place behind, and none too many", async () => {
  const logic = defineThreadLogic({
    turn: async ({ thread, signal }) => {
      const child = await thread.spawn({ logic: "built-in" });
      await child.run("x", { signal });
    },
  });
  await using r = await rig({
    script: (_request, n) => (n === 0 ? [hang()] : [say("done")]),
    logics: { own: logic },
    limits: { runningTurns: 1 },
  });
  const { thread } = await r.manager.startThread({ logic: "own" });
  const run = observe(thread.run("x"));
  await until(() => r.model.requests.length === 1);
  await thread.interrupt();
  await until(() => run.outcome !== "pending");
  await until(() => r.manager.capacity().runningTurns.used === 0);
  const { thread: other } = await r.manager.startThread({ logic: "built-in" });
  assert.equal((await ends(other.run("y"))).lastAgentMessage, "done");
  free(r);
});

test("an embedder's tool that runs a thread of its own: in a turn of the house, in an ask, and in a turn that a logic begins", async () => {
  let manager: ThreadManager | undefined;
  const load = new Load();
  const delegate = tool({
    name: "delegate",
    description: "",
    execute: async () => {
      const started = await manager?.startThread({ logic: "built-in", developerInstructions: "worker" });
      return (await started?.thread.run("work"))?.lastAgentMessage;
    },
  });
  const script = (request: { input: readonly unknown[] }) => {
    const text = JSON.stringify(request.input);
    if (text.includes("worker")) return load.script();
    return text.includes("function_call_output") ? [say("all done")] : [call("delegate")];
  };
  const logics = {
    asks: defineThreadLogic({ turn: async ({ ask }) => (await ask({ input: "go" })).text }),
    begins: defineThreadLogic({ turn: async ({ startTurn }) => (await startTurn("go")).lastAgentMessage }),
  };
  await using r = await rig({ script, logics, tools: [delegate], limits: { runningTurns: 1 } });
  ({ manager } = r);
  for (const logic of ["built-in", "asks", "begins"]) {
    const threads = await Promise.all([1, 2].map(() => r.manager.startThread({ logic })));
    const results = await ends(Promise.all(threads.map(({ thread }) => thread.run("go"))));
    assert.deepEqual(
      results.map(({ lastAgentMessage }) => lastAgentMessage),
      ["all done", "all done"],
      logic,
    );
    await settled();
    free(r);
  }
  assert.equal(load.peak, 1);
});

test("a turn that a logic begins unasked takes a place that is free, gives it back, and takes none twice", async () => {
  const turns: { begin(): void; end(): void }[] = [];
  const logic = fromCallback<{ type: string }, OwnLogicInput>(({ input, receive, emit }) => {
    const send = emit as unknown as Emit;
    const told = (type: string, more = {}) => send({ type, id: "own", msg: { type, turn_id: "own", ...more } });
    configured(input, send);
    receive((event) => {
      if ((event as unknown as Op).op?.type === "shutdown")
        send({ type: "shutdown_complete", id: "", msg: { type: "shutdown_complete" } });
    });
    turns.push({ begin: () => told("task_started"), end: () => told("task_complete", { last_agent_message: null }) });
  });
  await using r = await rig({ logics: { own: logic }, limits: { runningTurns: 1 } });
  await r.manager.startThread({ logic: "own" });
  await r.manager.startThread({ logic: "own" });
  const [first, second] = turns;
  const used = () => r.manager.capacity().runningTurns.used;
  first?.begin();
  await until(() => used() === 1);
  second?.begin(); // it was not asked whether it may
  await settled();
  assert.equal(used(), 1);
  const { thread } = await r.manager.startThread({ logic: "built-in" });
  const run = observe(thread.run("x"));
  await settled();
  assert.equal(run.outcome, "pending", "there is no place for it");
  second?.end();
  await settled();
  assert.equal(run.outcome, "pending", "the place is the first one's still");
  first?.end();
  await until(() => run.outcome !== "pending");
  free(r);
});

test("an input that its logic never took up ends under the id that its turn was to have", async () => {
  const deaf = fromCallback<{ type: string }, OwnLogicInput>(({ input, receive, emit }) => {
    configured(input, emit as unknown as Emit);
    receive((event) => {
      const { op } = event as unknown as Op;
      if (op?.type === "shutdown")
        emit({ type: "shutdown_complete", id: "", msg: { type: "shutdown_complete" } } as never);
    });
  });
  await using r = await rig({ threadLogic: deaf });
  const { thread } = await r.manager.startThread();
  const seen = watch(thread);
  await thread.submitWithId({ id: "mine", op: { type: "user_input", items: [{ type: "text", text: "x" }] } });
  const submissions = (await linesOf(r.store, thread.id)).filter(({ type }) => type === "submission");
  await thread.shutdown();
  const end = seen.find(({ id, msg }) => id === "mine" && msg.type === "turn_aborted");
  const turnId = String(Object(end?.msg).turn_id);
  assert.notEqual(turnId, "mine");
  assert.ok(JSON.stringify(submissions).includes(turnId), "the submission names it");
});
