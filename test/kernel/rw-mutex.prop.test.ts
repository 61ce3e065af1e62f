import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../src/kernel/clock.ts";
import { type Guard, RwMutex } from "../../src/kernel/rw-mutex.ts";
import { settled } from "./settled.ts";

/*
 * Arbitrary interleavings of asking, releasing, aborting, expiring and of microtasks between them, checked at every
 * grant and, whenever everything has settled, against what a lock must then look like.
 */
type Mode = "read" | "write";
type Ask = {
  mode: Mode;
  status: "waiting" | "holding" | "finished" | "gaveUp";
  guard?: Guard;
  abort: AbortController;
  dueAt?: number;
};

const pause = fc.constantFrom("none", "none", "microtask", "settle");
const mode = fc.constantFrom<Mode>("read", "read", "write");
const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("acquire" as const), mode, deadlineMs: fc.option(fc.nat(20)) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("run" as const), mode }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("release" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("releaseAgain" as const), pick: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("abort" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(10) }) },
);
const script = fc.array(fc.tuple(action, pause), { maxLength: 60, size: "max" });

class Trial {
  readonly lock = new RwMutex();
  readonly clock = new ManualClock();
  readonly asks: Ask[] = [];
  /** Nothing is under way: the model knows exactly what the lock holds. */
  quiet = true;

  with(status: Ask["status"], mode?: Mode): Ask[] {
    return this.asks.filter((ask) => ask.status === status && (mode === undefined || ask.mode === mode));
  }

  /** Mostly those that wait: for the others an abort must come too late. */
  abortable(): Ask[] {
    const waiting = this.with("waiting");
    return waiting.length > 0 ? waiting : this.asks;
  }

  pick(asks: Ask[], pick: number): Ask | undefined {
    return asks[pick % Math.max(1, asks.length)];
  }

  ask(mode: Mode): Ask {
    const ask: Ask = { mode, status: "waiting", abort: new AbortController() };
    this.asks.push(ask);
    return ask;
  }

  acquire(mode: Mode, deadlineMs: number | null): void {
    const ask = this.ask(mode);
    if (deadlineMs !== null) ask.dueAt = this.clock.now() + deadlineMs;
    const options = { signal: ask.abort.signal, deadlineMs: deadlineMs ?? undefined, clock: this.clock };
    const acquired = mode === "read" ? this.lock.acquireRead(options) : this.lock.acquireWrite(options);
    acquired.then(
      (guard) => {
        ask.guard = guard;
        this.admitted(ask);
      },
      () => {
        ask.status = "gaveUp";
      },
    );
  }

  run(mode: Mode): void {
    const free =
      mode === "read"
        ? this.with("holding", "write").length + this.with("waiting", "write").length === 0
        : this.with("holding").length + this.with("waiting").length === 0;
    const ask = this.ask(mode);
    let synchronous = true;
    const fn = () => {
      const passed = synchronous && mode === "read" ? "write" : undefined; // L2: may pass waiting readers
      this.admitted(ask, passed);
      ask.status = "finished";
    };
    const options = { signal: ask.abort.signal };
    const result = mode === "read" ? this.lock.read(fn, options) : this.lock.write(fn, options);
    synchronous = false;
    if (this.quiet) assert.equal(ask.status, free ? "finished" : "waiting", "synchronous exactly when free");
    result?.catch(() => {
      ask.status = "gaveUp";
    });
  }

  /** At every grant: no overlap, and nobody was passed. */
  admitted(ask: Ask, passable?: Mode): void {
    ask.status = "holding";
    const writers = this.with("holding", "write").length;
    assert.ok(writers === 0 || this.with("holding").length === 1, "a writer is alone");
    const before = this.asks.slice(0, this.asks.indexOf(ask));
    const passed = before.filter((other) => other.status === "waiting" && !this.givesUp(other));
    if (passable === undefined) assert.equal(passed.length, 0, "first come, first served");
    else assert.ok(!passed.some((other) => other.mode === passable));
  }

  /** It has left the queue, or is about to: whoever asked hears of it a few microtasks later. */
  givesUp({ abort, dueAt = Number.POSITIVE_INFINITY }: Ask): boolean {
    return abort.signal.aborted || this.clock.now() >= dueAt;
  }

  release(pick: number): void {
    const ask = this.pick(this.with("holding"), pick);
    if (ask === undefined) return;
    ask.status = "finished";
    ask.guard?.release();
  }

  async pause(kind: string): Promise<void> {
    this.quiet = kind === "settle";
    if (kind === "microtask") await null;
    if (!this.quiet) return;
    await settled();
    this.checkQuiet();
  }

  /** When nothing is under way, the head of the queue waits for a reason, and the lock's account is right. */
  checkQuiet(): void {
    const readers = this.with("holding", "read").length;
    const writer = this.with("holding", "write").length === 1;
    const waiting = this.with("waiting");
    assert.deepEqual(this.lock.state, { readers, writer, waiting: waiting.length });
    const head = waiting[0];
    if (head !== undefined) assert.ok(writer || (head.mode === "write" ? readers > 0 : readers >= 64), "no idle lock");
  }

  async perform([step, pauseKind]: typeof script extends fc.Arbitrary<(infer S)[]> ? S : never): Promise<void> {
    if (step.do === "acquire") this.acquire(step.mode, step.deadlineMs);
    else if (step.do === "run") this.run(step.mode);
    else if (step.do === "release") this.release(step.pick);
    else if (step.do === "releaseAgain") this.pick(this.with("finished"), step.pick)?.guard?.release();
    else if (step.do === "abort") this.pick(this.abortable(), step.pick)?.abort.abort("gave up");
    else this.clock.advance(step.ms);
    await this.pause(pauseKind);
  }

  /** Everybody gets in once the holders leave, and every permit is back. */
  async finish(): Promise<void> {
    for (let round = 0; round <= this.asks.length; round += 1) {
      await this.pause("settle");
      this.release(0);
    }
    await this.pause("settle");
    assert.deepEqual([this.with("waiting").length, this.with("holding").length], [0, 0]);
    assert.equal(this.clock.pending, 0);
    assert.ok(this.asks.every(({ abort }) => getEventListeners(abort.signal, "abort").length === 0));
    const all: Guard[] = [];
    for (let n = 0; n < 64; n += 1) void this.lock.acquireRead().then((guard) => all.push(guard));
    await settled();
    assert.equal(all.length, 64);
    for (const guard of all) guard.release();
    await settled();
    (await this.lock.acquireWrite()).release();
    assert.deepEqual(this.lock.state, { readers: 0, writer: false, waiting: 0 });
  }
}

test("no overlap, no passing, no starvation, no idle lock and no lost permit, whatever comes when", async () => {
  await fc.assert(
    fc.asyncProperty(script, async (steps) => {
      const trial = new Trial();
      const failures: unknown[] = [];
      const onRejection = (error: unknown) => failures.push(error);
      process.on("unhandledRejection", onRejection); // an assertion that failed inside a grant
      try {
        for (const step of steps) await trial.perform(step);
        await trial.finish();
      } finally {
        await settled();
        process.off("unhandledRejection", onRejection);
      }
      assert.deepEqual(failures, []);
    }),
    { numRuns: 200 },
  );
});
