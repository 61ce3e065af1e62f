/** How many ops go through one thread, and over many, beside a bare actor that takes an event? */
import { createActor, emit, setup } from "xstate";
import { memoryStore, ThreadManager, type ThreadManagerOptions } from "../src/index.ts";
import { bench, type Measured, nowUs, print } from "./harness.ts";

const OPS = 20_000;
/** As many for each case: the compiler is at work for longer than these. */
const WARM_UP = 2_000;
/** Changes nothing, and is handled like any other: parsed, named, sent through the actor, answered. */
const OP = { type: "override_turn_context" } as const;

async function through(threads: number, options: ThreadManagerOptions = {}): Promise<Measured> {
  const manager = await ThreadManager.create({ store: memoryStore(), ...options });
  const all = await Promise.all(Array.from({ length: threads }, async () => (await manager.startThread()).thread));
  for (let op = 0; op < WARM_UP; op += 1) await all[op % threads]?.submit(OP);
  const start = nowUs();
  for (let op = 0; op < OPS; op += 1) await all[op % threads]?.submit(OP);
  const us = nowUs() - start;
  await manager.shutdown();
  return { usPerOp: us / OPS, opsPerSecond: (OPS / us) * 1e6 };
}

/** An own machine that takes an op and does nothing. */
const ownMachine = setup({ types: { events: {} as { type: string; msg: object } } }).createMachine({
  on: {
    "session.configure": {
      actions: emit(({ event }) => ({ type: "session_configured", id: "", msg: event.msg })),
    },
    "op.submit": { actions: () => undefined },
  },
});

const cases = {
  own: () => through(1, { threadLogic: ownMachine }),
  one: () => through(1),
  many: () => through(10_000),
  raw(): Measured {
    const actor = createActor(setup({}).createMachine({ on: { op: { actions: () => undefined } } })).start();
    for (let op = 0; op < WARM_UP; op += 1) actor.send({ type: "op" });
    const start = nowUs();
    for (let op = 0; op < OPS; op += 1) actor.send({ type: "op" });
    const us = nowUs() - start;
    return { usPerOp: us / OPS, opsPerSecond: (OPS / us) * 1e6 };
  },
};

await bench(import.meta.url, cases, async (run) => {
  for (const [name, label] of [
    ["raw", "raw XState send"],
    ["own", "ops through one own machine"],
    ["one", "ops through one thread"],
    ["many", "ops over 10,000 threads"],
  ] as const) {
    const { usPerOp, opsPerSecond } = await run.samples(name);
    print({ bench: "mailbox", case: label, us: usPerOp, opsPerSecond });
  }
});
