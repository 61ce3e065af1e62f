/**
 * Walks over groups against a model: no order of starts, crashes, stops, removals, reloads and restarts of the process makes a second life,
 * exceeds an intensity, loses a member, or leaves anything behind.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromCallback } from "xstate";
import type { GroupStrategy } from "../../machines/group.machine.ts";
import { InvalidRequestError } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import type { ThreadGroup } from "../../src/manager/thread-group.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { settled } from "../kernel/settled.ts";
import { overlaid, type Rig, rig } from "../rig.ts";

type Message = { type: string; op?: { type: string }; msg?: object };

const crashing = fromCallback<Message>(({ receive, emit }) => {
  const tell = emit as (event: object) => void;
  receive(({ type, op, msg }) => {
    if (type === "session.configure") tell({ type: "session_configured", id: "", msg });
    if (op?.type === "compact") throw new Error("as told");
    if (op?.type === "shutdown") tell({ type: "shutdown_complete", id: "", msg: { type: "shutdown_complete" } });
  });
});

const PERIOD_MS = 1_000;
const RUNS = Number(process.env.SKEIN_WALKS ?? 40);

const DEEDS = [
  "add",
  "crash",
  "crashTwo",
  "stop",
  "restart",
  "remove",
  "drop",
  "wait",
  "message",
  "process",
  "fail",
] as const;
const step = fc.record({ do: fc.constantFrom(...DEEDS), at: fc.nat(5), other: fc.nat(5) });

/** What must be so of the members, whatever happened: who is known, and who is never to come back by itself. */
class Model {
  readonly order: string[] = [];
  readonly stopped = new Set<string>();

  gone(id: string): void {
    this.order.splice(this.order.indexOf(id), 1);
    this.stopped.delete(id);
  }

  check(group: ThreadGroup): void {
    const { members, status } = group;
    assert.deepEqual(
      members.map(({ id }) => id),
      this.order,
      "members and their order",
    );
    for (const { id, state } of members) {
      if (status === "gaveUp") assert.equal(state, "ended");
      else assert.equal(state, this.stopped.has(id) ? "ended" : "up", id);
    }
  }
}

test("SEMANTICS 4.6, 4.7, 4.9, 4.11, 4.12 and 4.15: any walk over a group", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<GroupStrategy>("one_for_one", "one_for_all", "rest_for_one"),
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { maxLength: 25 }),
      fc.scheduler(),
      async (strategy, maxRestarts, steps, scheduler) => {
        const store = memoryStore();
        const options = { strategy, maxRestarts, periodMs: PERIOD_MS, backoff: 10 };
        let failing = 0;
        /** Opens come in an order of the scheduler's, and fail when they are told to. */
        const port: ThreadStore = overlaid(store, {
          open: async (thread, how) => {
            await scheduler.schedule(Promise.resolve(), "open");
            if (failing > 0 && typeof thread === "string" && model.order.includes(thread)) {
              failing -= 1;
              throw new Error("the disk is away");
            }
            return store.open(thread, how);
          },
        });
        const model = new Model();
        let r = await start(port);
        let opening = r.manager.group({ name: "walk", ...options });
        await pass(r, scheduler, 1);
        let group = await opening;
        let lives = watchLives(r, model);
        for (const { do: deed, at, other } of steps) {
          const id = model.order[at % Math.max(1, model.order.length)];
          const second = model.order[other % Math.max(1, model.order.length)];
          const isRunning = group.status === "running";
          const doing: Promise<unknown>[] = [];
          if (deed === "add" && isRunning && model.order.length < 6) {
            const { threadId } = await group.startThread({}, { restart: "permanent" });
            model.order.push(threadId);
          } else if (id !== undefined && second !== undefined) {
            const crash = (which: string) =>
              r.manager
                .loadedThread(which as never)
                ?.submit({ type: "compact" })
                .catch(() => undefined);
            if (deed === "crash" || deed === "message") doing.push(crash(id) ?? settled());
            if (deed === "crashTwo") doing.push(crash(id) ?? settled(), crash(second) ?? settled());
            if (deed === "fail") failing = 1;
            if (deed === "stop" && isRunning) {
              doing.push(group.stopMember(id));
              model.stopped.add(id);
            }
            if (deed === "restart" && isRunning && model.stopped.delete(id))
              doing.push(group.restartMember(id).catch(() => undefined));
            if (deed === "remove" && isRunning && !model.stopped.has(id)) {
              model.gone(id);
              doing.push(r.manager.removeThread(id).then((thread) => thread?.shutdown()));
            }
            if (deed === "drop" && isRunning && model.stopped.has(id)) {
              await group.dropMember(id);
              model.gone(id);
            }
          }
          if (deed === "wait") await pass(r, scheduler, PERIOD_MS);
          if (deed === "process") {
            failing = 0;
            await end(r, scheduler);
            r = await start(port);
            opening = r.manager.group({ name: "walk" });
            await pass(r, scheduler, 400);
            group = await opening;
            lives = watchLives(r, model);
          }
          await pass(r, scheduler, 400);
          await Promise.all(doing);
          await group.quiet();
          failing = 0;
          if (group.status === "gaveUp") {
            model.check(group);
            const reviving = group.revive();
            await pass(r, scheduler, 400);
            await reviving;
          }
          model.check(group);
          const up = model.order.filter((one) => !model.stopped.has(one)).length;
          assert.equal(r.manager.capacity().residentThreads.used, up, "places");
          lives.check();
        }
        const closed: string[] = [];
        r.manager.threadClosed$.subscribe(({ threadId }) => closed.push(threadId));
        const expected = model.order.filter((one) => !model.stopped.has(one)).reverse();
        const stopping = group.stop();
        await pass(r, scheduler, 100);
        await stopping;
        assert.deepEqual(closed, expected, "the last that joined first");
        assert.deepEqual(runtimeOf(r.manager)?.left(), { incarnations: 0, handles: 0, removed: 0 });
        await end(r, scheduler);
        assert.equal(r.clock.pending, 0, "no timer is left");
      },
    ),
    { numRuns: RUNS, endOnFailure: RUNS < 100 },
  );
});

const NESTED = [
  "crashOuter",
  "crashInner",
  "stopInner",
  "haltInner",
  "revive",
  "restart",
  "drop",
  "addAgain",
  "stopAll",
  "wait",
  "process",
] as const;

test("SEMANTICS 4.9 to 4.13: a group in a group, by any walk: what the one above shows of it is so, and so are both after a restart of the process", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<GroupStrategy>("one_for_one", "one_for_all", "rest_for_one"),
      fc.array(fc.constantFrom(...NESTED), { maxLength: 20 }),
      async (strategy, deeds) => {
        const store = memoryStore();
        const options = { strategy, periodMs: PERIOD_MS, backoff: 10, restart: "permanent", maxRestarts: 2 } as const;
        let r = await start(store);
        const openBoth = async () => {
          const outer = await r.manager.group({ name: "outer", ...options });
          return { outer, inner: await r.manager.group({ name: "inner" }) };
        };
        const first = await r.manager.group({ name: "outer", ...options });
        const { threadId: a } = await first.startThread();
        const { threadId: b } = await (await first.group({ name: "inner", ...options, maxRestarts: 1 })).startThread();
        const { threadId: c } = await first.startThread();
        let { outer, inner } = await openBoth();
        const isMember = () => outer.members.some(({ id }) => id === inner.id);
        const crash = (id: string) =>
          r.manager
            .loadedThread(id as never)
            ?.submit({ type: "compact" })
            .catch(() => undefined);
        const step: Record<(typeof NESTED)[number], () => unknown> = {
          crashOuter: () => crash(a),
          crashInner: () => crash(b),
          stopInner: () => isMember() && outer.stopMember(inner.id),
          haltInner: () => inner.stop(),
          revive: () => inner.revive(),
          restart: () => outer.restartMember(inner.id),
          drop: () => outer.dropMember(inner.id),
          addAgain: () => outer.add(inner),
          stopAll: () => outer.stop(),
          wait: () => undefined,
          process: async () => {
            await r[Symbol.asyncDispose]();
            r = await start(store);
            ({ outer, inner } = await openBoth());
          },
        };
        for (const deed of deeds) {
          const acting = Promise.resolve(step[deed]()).catch((error: unknown) =>
            assert.ok(error instanceof InvalidRequestError, String(error)),
          );
          for (let n = 0; n < 20; n += 1) await r.clock.advanceAsync(deed === "wait" ? PERIOD_MS / 10 : 5);
          await acting;
          await Promise.all([outer.quiet(), inner.quiet()]);
          if (outer.status !== "running") await outer.revive();
          const shown = outer.members.find(({ id }) => id === inner.id);
          const said = `${deed}: inner ${inner.status}, outer ${outer.status}, ${JSON.stringify(outer.members)}`;
          assert.equal(inner.parent === outer, shown !== undefined, said);
          if (shown !== undefined) assert.equal(shown.state, inner.status === "running" ? "up" : "ended", said);
          for (const group of [outer, inner]) {
            for (const { id, kind, state } of group.members)
              if (kind === "thread") assert.equal(r.manager.loadedThread(id) !== undefined, state === "up", said);
          }
          const { groups, members } = runtimeOf(r.manager)?.leftBeside() ?? {};
          assert.deepEqual([groups, members], [2, inner.status === "stopped" ? 2 : 3], said);
        }
        assert.deepEqual(
          outer.members.filter(({ kind }) => kind === "thread").map(({ id }) => id),
          [a, c],
        );
        await r[Symbol.asyncDispose]();
        assert.equal(r.clock.pending, 0, "no timer is left");
      },
    ),
    { numRuns: RUNS },
  );
});

const start = (store: ThreadStore): Promise<Rig> =>
  rig({
    store,
    threadLogic: crashing,
    supervision: { backoffMs: 10, maxRestarts: 3, periodMs: PERIOD_MS, random: () => 0 },
  });

/** At most one life of each id at a time, each later than the last; what is expected lives. */
function watchLives(r: Rig, model: Model) {
  const epochs = new Map<string, number>();
  r.manager.threadCreated$.subscribe(({ id, epoch }) => {
    assert.ok(epoch > (epochs.get(id) ?? 0), "a later life");
    epochs.set(id, epoch);
  });
  return {
    check: () => {
      for (const [id, epoch] of epochs) {
        const thread = r.manager.loadedThread(id as never);
        if (thread !== undefined) assert.equal(thread.epoch, epoch, "the life that is there is the last one");
        else assert.ok(!model.order.includes(id) || model.stopped.has(id));
      }
    },
  };
}

/** Time passes, and whatever the scheduler holds back comes in its order. */
async function pass(r: Rig, scheduler: fc.Scheduler, ms: number): Promise<void> {
  for (let n = 0; n < 8; n += 1) {
    while (scheduler.count() > 0) await scheduler.waitOne();
    await r.clock.advanceAsync(ms / 8);
    for (let turns = 0; turns < 3; turns += 1) await settled();
  }
}

async function end(r: Rig, scheduler: fc.Scheduler): Promise<void> {
  const ending = r[Symbol.asyncDispose]();
  for (let n = 0; n < 5; n += 1) {
    while (scheduler.count() > 0) await scheduler.waitOne();
    await settled();
  }
  await ending;
}
