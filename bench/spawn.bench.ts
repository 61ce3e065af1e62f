/** What does a thread cost to start and to keep, beside a bare XState actor of the same machine? Flat in N? */
import { createActor, emit, setup } from "xstate";
import { threadMachine } from "../machines/thread.machine.ts";
import { memoryStore, ThreadManager } from "../src/index.ts";
import { newThreadId } from "../src/protocol/ids.ts";
import { bench, type Measured, memory, nowUs, print } from "./harness.ts";

const SIZES = [1_000, 10_000, 100_000];

async function kept(n: number, spawn: (keep: unknown[]) => void | Promise<void>): Promise<Measured> {
  const keep: unknown[] = [];
  for (let left = 200; left > 0; left -= 1) await spawn(keep);
  keep.length = 0;
  const before = memory();
  const start = nowUs();
  for (let left = n; left > 0; left -= 1) await spawn(keep);
  const us = nowUs() - start;
  const after = memory();
  return {
    usPerSpawn: us / n,
    heapBytes: (after.heap - before.heap) / n,
    rssBytes: (after.rss - before.rss) / n,
    kept: keep.length,
  };
}

const idle = setup({}).createMachine({});

/** A thread logic of an embedder's own, as small as the contract lets it be. */
const ownMachine = setup({ types: { events: {} as { type: string; msg: object } } }).createMachine({
  on: {
    "session.configure": {
      actions: emit(({ event }) => ({ type: "session_configured", id: "", msg: event.msg })),
    },
  },
});

const cases = {
  async skein({ n }: Readonly<Record<string, string>>): Promise<Measured> {
    const manager = await ThreadManager.create({ store: memoryStore(), limits: { residentThreads: 10_000_000 } });
    return kept(Number(n), async (keep) => {
      keep.push((await manager.startThread()).thread);
    });
  },
  async own({ n }: Readonly<Record<string, string>>): Promise<Measured> {
    const limits = { residentThreads: 10_000_000 };
    const manager = await ThreadManager.create({ store: memoryStore(), threadLogic: ownMachine, limits });
    return kept(Number(n), async (keep) => {
      keep.push((await manager.startThread()).thread);
    });
  },
  async rawOwn({ n }: Readonly<Record<string, string>>): Promise<Measured> {
    return kept(Number(n), async (keep) => {
      const actor = createActor(ownMachine, { id: newThreadId() });
      const first = new Promise((resolve) => actor.on("*", resolve));
      actor.start();
      actor.send({ type: "session.configure", msg: { type: "session_configured" } });
      await first;
      keep.push(actor);
    });
  },
  /** The same machine as a root actor, with the one listener that sees its first event. */
  async rawRoot({ n }: Readonly<Record<string, string>>): Promise<Measured> {
    return kept(Number(n), async (keep) => {
      const threadId = newThreadId();
      const actor = createActor(threadMachine, { id: threadId, input: { threadId, epoch: 1 } });
      const first = new Promise((resolve) => actor.on("*", resolve));
      actor.start();
      actor.send({ type: "session.configure", msg: { type: "session_configured" } as never });
      await first;
      keep.push(actor);
    });
  },
  /** The same machine under a parent: the layout that Skein has. */
  async rawChild({ n }: Readonly<Record<string, string>>): Promise<Measured> {
    const parent = createActor(idle).start();
    return kept(Number(n), async (keep) => {
      const threadId = newThreadId();
      const actor = createActor(threadMachine, { parent, id: threadId, input: { threadId, epoch: 1 } });
      const first = new Promise((resolve) => actor.on("*", resolve));
      actor.start();
      actor.send({ type: "session.configure", msg: { type: "session_configured" } as never });
      await first;
      keep.push(actor);
    });
  },
};

await bench(import.meta.url, cases, async (run) => {
  for (const n of SIZES) {
    const [raw, child, skein] = [
      await run.samples("rawRoot", { n }),
      await run.samples("rawChild", { n }),
      await run.samples("skein", { n }),
    ];
    print({
      bench: "spawn",
      case: "raw XState root",
      n,
      us: raw.usPerSpawn,
      heapBytes: raw.heapBytes,
      rssBytes: raw.rssBytes,
    });
    print({
      bench: "spawn",
      case: "raw XState child",
      n,
      us: child.usPerSpawn,
      heapBytes: child.heapBytes,
      rssBytes: child.rssBytes,
    });
    print({
      bench: "spawn",
      case: "skein startThread",
      n,
      us: skein.usPerSpawn,
      heapBytes: skein.heapBytes,
      rssBytes: skein.rssBytes,
    });
    const [rawOwn, own] = [await run.samples("rawOwn", { n }), await run.samples("own", { n })];
    print({
      bench: "spawn",
      case: "an own machine, raw XState root",
      n,
      us: rawOwn.usPerSpawn,
      heapBytes: rawOwn.heapBytes,
      rssBytes: rawOwn.rssBytes,
    });
    print({
      bench: "spawn",
      case: "an own machine, startThread",
      n,
      us: own.usPerSpawn,
      heapBytes: own.heapBytes,
      rssBytes: own.rssBytes,
    });
  }
});
