/** The manager against a plain Map of what there should be, over any sequence of commands. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import type { Thread } from "../../src/thread/thread.ts";
import { type Rig, rig, textsOf } from "../rig.ts";

type Where = "managed" | "removed" | "closed";
/** What each thread has been told and has answered, and where it is. */
type Model = { threads: { where: Where; texts: string[] }[] };
type Real = { r: Rig; threads: Thread[] };
type Command = fc.AsyncCommand<Model, Real>;

const HALF_AN_HOUR = 31 * 60_000;

abstract class OnThread implements Command {
  readonly at: number;
  constructor(at: number) {
    this.at = at;
  }
  check({ threads }: Readonly<Model>): boolean {
    return threads.length > 0;
  }
  async run(model: Model, real: Real): Promise<void> {
    const index = this.at % model.threads.length;
    const expected = model.threads[index];
    const thread = real.threads[index];
    assert.ok(expected && thread);
    await this.act(expected, thread, model, real);
    await agree(model, real);
  }
  abstract act(expected: Model["threads"][number], thread: Thread, model: Model, real: Real): Promise<void>;
  toString(): string {
    return `${this.constructor.name}(${this.at})`;
  }
}

async function agree(model: Model, { r, threads }: Real): Promise<void> {
  const managed = threads.filter((_, at) => model.threads[at]?.where === "managed").map(({ id }) => id);
  const loaded = await r.manager.listThreadIds();
  assert.ok(loaded.every((id) => managed.includes(id)));
  const { residentThreads, unloadedThreads, runningTurns } = r.manager.capacity();
  assert.deepEqual(
    [residentThreads.used, residentThreads.used + unloadedThreads, runningTurns.used],
    [loaded.length, managed.length, 0],
  );
}

class Spawn implements Command {
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    real.threads.push((await real.r.manager.startThread()).thread);
    model.threads.push({ where: "managed", texts: [] });
    await agree(model, real);
  }
  toString = () => "Spawn";
}

class Say extends OnThread {
  async act(expected: Model["threads"][number], thread: Thread, _: Model, { r }: Real): Promise<void> {
    if (expected.where === "closed") {
      await assert.rejects(thread.run("x"), { code: "thread_closed" });
      return;
    }
    const text = `m${expected.texts.length}`;
    const result = await thread.run(text);
    expected.texts.push(text, `ack: ${text}`);
    assert.equal(result.lastAgentMessage, `ack: ${text}`);
    assert.deepEqual(textsOf(r.model.requests.at(-1) ?? { input: [] }), expected.texts.slice(0, -1));
  }
}

class Get extends OnThread {
  async act({ where }: Model["threads"][number], thread: Thread, _: Model, { r }: Real): Promise<void> {
    if (where === "managed") assert.equal(await r.manager.getThread(thread.id), thread);
    else await assert.rejects(r.manager.getThread(thread.id), { code: "thread_not_found" });
  }
}

class Remove extends OnThread {
  async act(expected: Model["threads"][number], thread: Thread, _: Model, { r }: Real): Promise<void> {
    assert.equal(await r.manager.removeThread(thread.id), expected.where === "managed" ? thread : undefined);
    if (expected.where === "managed") expected.where = "removed";
  }
}

class Shutdown extends OnThread {
  async act(expected: Model["threads"][number], thread: Thread): Promise<void> {
    assert.equal(await thread.shutdown(), "completed");
    expected.where = "closed";
  }
}

class Resume extends OnThread {
  async act(expected: Model["threads"][number], thread: Thread, model: Model, real: Real): Promise<void> {
    if (expected.where === "removed") {
      await assert.rejects(real.r.manager.resumeThread(thread.id), { code: "thread_busy" });
      return;
    }
    const resumed = await real.r.manager.resumeThread(thread.id);
    if (expected.where === "managed") assert.equal(resumed.thread, thread);
    else {
      real.threads[model.threads.indexOf(expected)] = resumed.thread;
      expected.where = "managed";
    }
  }
}

class Fork extends OnThread {
  readonly n: number;
  constructor(at: number, n: number) {
    super(at);
    this.n = n;
  }
  async act(expected: Model["threads"][number], thread: Thread, model: Model, real: Real): Promise<void> {
    const { thread: fork } = await real.r.manager.forkThread({ from: thread.id, at: { beforeUserMessage: this.n } });
    real.threads.push(fork);
    const has = expected.texts.length / 2;
    model.threads.push({ where: "managed", texts: this.n < has ? expected.texts.slice(0, 2 * this.n) : [] });
  }
}

class Rollback extends OnThread {
  async act(expected: Model["threads"][number], thread: Thread): Promise<void> {
    if (expected.where === "closed") return;
    await thread.submit({ type: "thread_rollback", num_turns: 1 });
    expected.texts.splice(-2);
  }
}

class Time implements Command {
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    await real.r.clock.advanceAsync(HALF_AN_HOUR);
    await agree(model, real);
  }
  toString = () => "Time";
}

test("whatever is done to a manager, it has the threads and the histories that a plain Map has", async () => {
  const at = fc.nat(7);
  const commands = [
    fc.constant(new Spawn()),
    at.map((n) => new Say(n)),
    at.map((n) => new Say(n)),
    at.map((n) => new Get(n)),
    at.map((n) => new Remove(n)),
    at.map((n) => new Shutdown(n)),
    at.map((n) => new Resume(n)),
    fc.tuple(at, fc.nat(3)).map(([n, cut]) => new Fork(n, cut)),
    at.map((n) => new Rollback(n)),
    fc.constant(new Time()),
  ];
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 30 }), async (list) => {
      const r = await rig({ limits: { residentThreads: 3 } });
      const model: Model = { threads: [] };
      await fc.asyncModelRun(() => ({ model, real: { r, threads: [] as Thread[] } }), list);
      const open = model.threads.filter(({ where }) => where !== "closed").length;
      const report = await r.manager.shutdown();
      assert.ok(report.completed.length <= open);
      assert.deepEqual(
        [report.failed, report.timedOut, r.clock.pending, runtimeOf(r.manager)?.left()],
        [[], [], 0, { incarnations: 0, handles: 0, removed: 0 }],
      );
    }),
    { numRuns: 150 },
  );
});
