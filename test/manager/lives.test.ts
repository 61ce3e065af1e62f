/**
 * One end for every life: what each event does to a thread in each state of the registry, and that whoever waits is
 * answered in each cell. The table is the one of ARCHITECTURE.md, which this test reads.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import type { Thread, ThreadId } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { StoreIoError } from "../../src/protocol/errors.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { settled } from "../kernel/settled.ts";
import { latch, overlaid, type Rig, rig, until } from "../rig.ts";

type Message = { type: string; op?: { type: string }; msg?: object };

/** Crashes on `compact`; ends in order on `shutdown`. */
const logic = fromCallback<Message>(({ receive, emit }) =>
  receive(({ type, op, msg }) => {
    const say = emit as (event: object) => void;
    if (type === "session.configure") say({ type: "session_configured", id: "", msg });
    if (op?.type === "compact") throw new Error("disk on fire");
  }),
);

const STATES = ["loaded", "leaving", "unloaded", "down", "removed", "closed"] as const;
type State = (typeof STATES)[number];

type Scene = Rig & { readonly thread: Thread; readonly threadId: ThreadId; readonly open: () => void };

/** A thread in the state; `open` lets a store that hangs go on. */
async function scene(state: State): Promise<Scene> {
  const inner = memoryStore();
  const gate = latch();
  let hangs = false;
  const slow = <W extends Awaited<ReturnType<ThreadStore["create"]>>>(writer: W): W =>
    overlaid(writer, {
      close: () => (hangs ? gate.opened : Promise.resolve()).then(() => writer.close()),
    } as Partial<W>);
  const store = overlaid<ThreadStore>(inner, {
    create: async (...args) => slow(await inner.create(...args)),
    // What meets a thread that is being loaded meets it half done.
    open: async (...args) => {
      await settled();
      return slow(await inner.open(...args));
    },
  });
  const r = await rig({ store, threadLogic: logic, supervision: { backoffMs: 1_000, random: () => 0 } });
  const { thread, threadId } = await r.manager.startThread();
  hangs = state === "leaving";
  if (state === "leaving" || state === "unloaded") await r.clock.advanceAsync(31 * 60_000);
  if (state === "down") {
    await thread.submit({ type: "compact" });
    await until(() => thread.actor === undefined);
    await settled();
  }
  if (state === "removed") await r.manager.removeThread(threadId);
  if (state === "closed") {
    const ending = thread.shutdown({ deadlineMs: 10 });
    await r.clock.advanceAsync(2_000);
    await ending;
  }
  return { ...r, thread, threadId, open: gate.open, [Symbol.asyncDispose]: r[Symbol.asyncDispose] };
}

const EVENTS: Readonly<Record<string, (scene: Scene) => Promise<unknown>>> = {
  get: ({ manager, threadId }) => manager.getThread(threadId),
  send: ({ thread }) => thread.submit({ type: "list_models" }),
  resume: ({ manager, threadId }) => manager.resumeThread(threadId),
  create: ({ manager, threadId }) => manager.startThread({}, { threadId }),
  remove: ({ manager, threadId }) => manager.removeThread(threadId),
  end: ({ thread }) => thread.shutdown({ deadlineMs: 500 }),
  "manager.shutdown": ({ manager }) => manager.shutdown({ deadlineMs: 500 }),
};

/** What became of the request, in one word. */
function wordOf(name: string, outcome: PromiseSettledResult<unknown>): string {
  if (outcome.status === "rejected") return String(Object(outcome.reason).code);
  if (name === "remove") return outcome.value === undefined ? "not there" : "given";
  if (name === "manager.shutdown") return "report";
  return typeof outcome.value === "string" && name === "end" ? outcome.value : "done";
}

async function cell(state: State, name: string): Promise<string> {
  const at = await scene(state);
  const [outcome] = await settledIn(at, EVENTS[name]?.(at) ?? assert.fail(name));
  assert.ok(outcome, `${name} of a thread that is ${state} is never answered`);
  at.open();
  await at[Symbol.asyncDispose]();
  assert.deepEqual(runtimeOf(at.manager)?.left(), { incarnations: 0, handles: 0, removed: 0 }, `${name} in ${state}`);
  return wordOf(name, outcome);
}

/** The outcome, within a minute of the manager's clock. A store that hangs goes on after ten seconds. */
async function settledIn(
  { clock, open }: Scene,
  ...asked: Promise<unknown>[]
): Promise<PromiseSettledResult<unknown>[]> {
  const outcomes: PromiseSettledResult<unknown>[] = [];
  void Promise.allSettled(asked).then((all) => outcomes.push(...all));
  for (let ms = 0; ms < 60_000 && outcomes.length === 0; ms += 500) {
    await clock.advanceAsync(500);
    if (ms === 10_000) open();
  }
  return outcomes;
}

/** The table under the heading: by event, then by state. */
function tableOf(text: string): Map<string, Map<string, string>> {
  const rows = text
    .slice(text.indexOf("| event |"))
    .split("\n\n")[0]
    ?.split("\n")
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((entry) => entry.trim().replaceAll("`", "")),
    );
  const [head = [], , ...body] = rows ?? [];
  return new Map(
    body.map(([event = "", ...cells]) => [event, new Map(cells.map((word, n) => [head[n + 1] ?? "", word]))]),
  );
}

/** What a request that came second may hear. Only a resume may hear that a removed thread's holder still has it. */
const EXPECTED: ReadonlySet<string> = new Set([
  "thread_closed",
  "thread_not_found",
  "manager_closed",
  "duplicate_thread",
]);

suite("two requests at once", () => {
  for (const state of STATES) {
    test(`of a thread that is ${state}: both are answered, and nothing is left`, async () => {
      for (const first of Object.keys(EVENTS)) {
        for (const second of Object.keys(EVENTS)) {
          const at = await scene(state);
          const asked = [first, second].map((name) => EVENTS[name]?.(at) ?? assert.fail(name));
          const outcomes = await settledIn(at, ...asked);
          assert.equal(outcomes.length, 2, `${first} and ${second} of a thread that is ${state} are never answered`);
          const refusals = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
          const isResume = first === "resume" || second === "resume";
          const codes = refusals.map((reason) => String(Object(reason).code));
          const odd = codes.filter((code) => !EXPECTED.has(code) && !(isResume && code === "thread_busy"));
          assert.deepEqual(odd, [], `${first} and ${second} of a thread that is ${state}`);
          at.open();
          await at[Symbol.asyncDispose]();
          const nothing = { incarnations: 0, handles: 0, removed: 0 };
          assert.deepEqual(runtimeOf(at.manager)?.left(), nothing, `${first} and ${second} in ${state}`);
        }
      }
    });
  }
});

suite("lives: state x event", () => {
  const table = tableOf(readFileSync(join(import.meta.dirname, "../../ARCHITECTURE.md"), "utf8"));
  for (const name of Object.keys(EVENTS)) {
    test(name, async () => {
      for (const state of STATES) {
        assert.equal(await cell(state, name), table.get(name)?.get(state), `${name} of a thread that is ${state}`);
      }
    });
  }
});

test("SEMANTICS 3.1: one that is taken out and can't be loaded has closed, with why, and nothing of it is left", async () => {
  const memory = memoryStore();
  let fails = false;
  const open: ThreadStore["open"] = (...given) => {
    if (fails) throw new StoreIoError("the disk is gone");
    return memory.open(...given);
  };
  await using r = await rig({ store: overlaid(memory, { open }) });
  const { thread, threadId } = await r.manager.startThread();
  await thread.run("a");
  await r.clock.advanceAsync(31 * 60_000);
  assert.equal(thread.actor, undefined);
  const closed: unknown[] = [];
  r.manager.threadClosed$.subscribe(({ reason, error }) => closed.push([reason, Object(error).message]));
  fails = true;
  await assert.rejects(r.manager.removeThread(threadId), StoreIoError);
  assert.deepEqual(closed, [["closed", "the disk is gone"]]);
  await assert.rejects(thread.run("b"), { code: "thread_closed" });
  await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
});
