/**
 * Messages in any interleaving of sends, crashes, unloading, removals, ends and restarts of the process, against a model: each that was
 * accepted is handled or is a dead letter, a passing one at most once, those of one sender in their order, and nothing is left.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as z from "zod";
import { defineThreadLogic, memoryStore, SkeinError, type ThreadId } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { settled } from "../kernel/settled.ts";
import { type Rig, rig } from "../rig.ts";

const RUNS = Number(process.env.SKEIN_WALKS ?? 25);
const THREADS = 3;
const DEEDS = ["send", "send", "send", "crash", "wait", "end", "remove", "resume", "process"] as const;
const step = fc.record({
  do: fc.constantFrom(...DEEDS),
  from: fc.nat(THREADS),
  to: fc.nat(THREADS - 1),
  count: fc.integer({ min: 1, max: 3 }),
  isDurable: fc.boolean(),
  isSlow: fc.boolean(),
});

type Step = (typeof step extends fc.Arbitrary<infer S> ? S : never) & object;
type Sent = {
  readonly n: number;
  readonly line: string;
  readonly isDurable: boolean;
  outcome: "accepted" | "refused" | undefined;
};

/** Some are read at once, and some later. */
const isRead = ({ n }: { n: number }) => (n % 2 === 0 ? settled().then(() => true) : true);

class World {
  r!: Rig;
  readonly ids: ThreadId[] = [];
  readonly sent: Sent[] = [];
  /** Each time that a message was given to its receiver. */
  readonly handled: number[] = [];
  readonly letters = new Set<number>();
  readonly #store = memoryStore();
  readonly #logic = defineThreadLogic({
    messages: { note: z.object({ n: z.number(), isSlow: z.boolean() }).refine(isRead) },
    receive: {
      note: async ({ n, isSlow }, { thread }) => {
        if (isSlow) await settled();
        thread.signal.throwIfAborted();
        this.handled.push(n);
      },
    },
    turn: () => "x",
  });

  async begin(): Promise<void> {
    this.r = await rig({
      ...{ store: this.#store, threadLogic: this.#logic },
      residency: { unloadAfterMs: 500 },
      supervision: { backoffMs: 10, maxRestarts: 50, random: () => 0 },
    });
    this.r.manager.deadLetters$.subscribe(({ message }) => this.letters.add((message as unknown as { n: number }).n));
    for (const id of this.ids) await this.r.manager.resumeThread(id);
    while (this.ids.length < THREADS) this.ids.push((await this.r.manager.startThread()).threadId);
    await this.pass(1);
  }

  async pass(ms: number): Promise<void> {
    for (let n = 0; n < 5; n += 1) {
      await this.r.clock.advanceAsync(ms / 5);
      for (let turns = 0; turns < 3; turns += 1) await settled();
    }
  }

  #send({ from, to, isDurable, isSlow }: Step): Promise<unknown> {
    const { manager } = this.r;
    const target = this.ids[to] ?? assert.fail();
    const sender = from === THREADS ? undefined : manager.loadedThread(this.ids[from] ?? assert.fail());
    const sent: Sent = {
      ...{ n: this.sent.length, line: `${sender?.id} ${to} ${isDurable}`, isDurable },
      outcome: undefined,
    };
    this.sent.push(sent);
    const message = { type: "note", n: sent.n, isSlow };
    return (sender ?? manager).send(target, message, { durable: isDurable, deadlineMs: 300 }).then(
      () => {
        sent.outcome = "accepted";
      },
      (error: unknown) => {
        assert.ok(error instanceof SkeinError, String(error));
        sent.outcome = "refused";
      },
    );
  }

  async act(given: Step): Promise<Promise<unknown>[]> {
    const { manager } = this.r;
    const id = this.ids[given.to] ?? assert.fail();
    const thread = manager.loadedThread(id) as LiveThread | undefined;
    switch (given.do) {
      case "send":
        return Array.from({ length: given.count }, () => this.#send(given));
      case "crash":
        thread?.incarnation.end("crashed", new Error("disk on fire"));
        return [];
      case "wait":
        await this.pass(600);
        return [];
      case "end":
        return thread === undefined ? [] : [thread.shutdown({ deadlineMs: 100 })];
      case "remove":
        return [manager.removeThread(id).then((held) => held?.shutdown({ deadlineMs: 100 }))];
      case "resume":
        return [manager.resumeThread(id).catch(() => undefined)];
      case "process":
        await this.end();
        await this.begin();
        return [];
    }
  }

  async end(): Promise<void> {
    const ending = this.r[Symbol.asyncDispose]();
    for (let n = 0; n < 8; n += 1) await settled();
    await ending;
  }

  check(): void {
    for (const { n, isDurable, outcome } of this.sent) {
      const times = this.handled.filter((each) => each === n).length;
      const isLetter = this.letters.has(n);
      const what = `message ${n}, ${isDurable ? "durable" : "passing"}, ${outcome}, handled ${times} times`;
      if (!isDurable) assert.ok(times <= 1, what);
      if (outcome === "accepted") assert.ok(times > 0 || isLetter, what);
      else assert.ok(times === 0, what);
    }
    const lines = Map.groupBy(this.sent, ({ line }) => line);
    for (const [line, sent] of lines) {
      const numbers = sent.map(({ n }) => n);
      const first = [...new Set(this.handled.filter((n) => numbers.includes(n)))];
      assert.deepEqual(
        first,
        first.toSorted((a, b) => a - b),
        `the order of ${line}`,
      );
    }
  }
}

test("SEMANTICS 2.6, 9.2, 9.5, 9.6 and 9.7: no interleaving loses, doubles or turns round what was accepted", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const world = new World();
      await world.begin();
      const doing: Promise<unknown>[] = [];
      for (const each of steps) {
        if (each.do === "process") await Promise.all([...doing, world.pass(400)]);
        doing.push(...(await world.act(each)));
        if (each.count > 1) await world.pass(20);
      }
      await world.pass(400);
      await Promise.all(doing);
      for (const id of world.ids) await world.r.manager.resumeThread(id);
      await world.pass(600);
      world.check();
      for (const id of world.ids) await (await world.r.manager.getThread(id)).shutdown({ deadlineMs: 100 });
      await world.pass(100);
      const runtime = runtimeOf(world.r.manager);
      assert.deepEqual(runtime?.messages.left(), { open: 0, asked: 0, subscriptions: 0, mail: 0 });
      await world.end();
      assert.equal(world.r.clock.pending, 0);
    }),
    { numRuns: RUNS },
  );
});
