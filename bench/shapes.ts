/**
 * `npm run bench:shapes`: fails when spawn, fork, append, list, unload or reload costs more for what it must not grow with: the
 * threads there are, or the length of a history. Each piece of work is done at a size and at one four to a hundred times as large,
 * in this one process; counts of file calls and bytes are exact, times are the least of several, with room for a busy machine. Names
 * on the command line choose cases by their beginnings.
 */

import { fromCallback } from "xstate";
import { benchFolder, openRoot } from "./folders.ts";
import { fsTotals } from "./fs-meter.ts";
import { memory, print } from "./harness.ts";
import { type Costs, costsOf, judge } from "./shape.ts";

// The meter stands before whatever uses files.
const { ThreadManager, say, scriptedClient, fileStore } = await import("../src/index.ts");
const { appendMessages, metaOf } = await import("./stored-thread.ts");
const { Kinship } = await import("../src/manager/kinship.ts");
const { setUp } = await import("../src/manager/options.ts");
const { newThreadId } = await import("../src/protocol/ids.ts");
const { userMessage } = await import("../src/protocol/response-item.ts");

const RUNS = 9;
/** How often the work is done in a run: what one piece costs by itself is less than a busy machine adds to it. */
const REPEATS = 10;
const TRIES = 3;

type Manager = Awaited<ReturnType<typeof ThreadManager.create>>;
type Store = ReturnType<typeof fileStore>;
/** A home that has been made as large as the case asks, and the work that is measured there. */
type Prepared = { readonly work: () => Promise<unknown>; readonly close: () => Promise<void> };
type Case = {
  readonly name: string;
  readonly sizes: readonly [small: number, large: number];
  readonly prepare: (size: number) => Promise<Prepared>;
};

async function opened({
  residentThreads = 100_000,
  ...options
}: {
  residentThreads?: number;
  threadLogic?: typeof crashing;
} = {}): Promise<{ manager: Manager; store: Store; home: string }> {
  const home = await benchFolder();
  const store = fileStore({ home, fsync: "never" });
  const model = scriptedClient(() => [say("done")]);
  const manager = await ThreadManager.create({
    store,
    model,
    limits: { residentThreads, childrenPerParent: 100_000, treeSize: 100_000 },
    config: { builtInTools: [] },
    ...options,
  });
  return { manager, store, home };
}

const closing =
  ({ manager, store }: { manager: Manager; store: Store }) =>
  async () => {
    await manager.shutdown();
    await store.close();
  };

/** Threads of a logic that crashes as it is told, for groups. */
const crashing = fromCallback<{ type: string; op?: { type: string }; msg?: object }>(({ receive, emit }) =>
  receive(({ type, op, msg }) => {
    if (type === "session.configure") (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
    if (op?.type === "compact") throw new Error("as told");
  }),
);

/** A stored thread with so many messages, and a manager beside it. */
async function withHistory(messages: number) {
  const parts = await opened();
  const writer = await parts.store.create(metaOf());
  await appendMessages(writer, messages);
  await writer.close();
  return { ...parts, threadId: writer.threadId };
}

const cases: readonly Case[] = [
  {
    name: "spawn, by resident threads",
    sizes: [20, 2_000],
    prepare: async (size) => {
      const parts = await opened();
      for (let made = 0; made < size; made += 1) await parts.manager.startThread();
      return { work: () => parts.manager.startThread(), close: closing(parts) };
    },
  },
  {
    name: "spawn and end of an agent, by those that its parent has",
    sizes: [20, 2_000],
    prepare: async (size) => {
      const parts = await opened();
      const { threadId: parentThreadId } = await parts.manager.startThread();
      for (let made = 0; made < size; made += 1) await parts.manager.startThread({}, { parentThreadId });
      const work = async () => {
        const { thread } = await parts.manager.startThread({}, { parentThreadId });
        await thread.shutdown();
      };
      return { work, close: closing(parts) };
    },
  },
  {
    name: "names and seals, by siblings",
    sizes: [100, 50_000],
    prepare: async (size) => {
      const kinship = new Kinship(setUp({ limits: { childrenPerParent: 1_000_000, treeSize: 1_000_000 } }).limits);
      const parent = newThreadId();
      for (let made = 0; made < size; made += 1) kinship.admit(newThreadId(), { parent });
      for (let made = 0; made < size; made += 1) kinship.seal(newThreadId());
      const work = async () => {
        for (let n = 0; n < 100; n += 1) {
          const id = newThreadId();
          kinship.admit(id, { parent });
          kinship.release(id, "closed");
        }
      };
      return { work, close: async () => undefined };
    },
  },
  {
    name: "join, crash and restart in a stored group, by its members",
    sizes: [20, 2_000],
    prepare: async (size) => {
      const parts = await opened({ threadLogic: crashing });
      const group = await parts.manager.group({ name: "many", maxRestarts: 1_000, periodMs: 1, backoff: 0 });
      for (let made = 0; made < size; made += 1) await group.startThread();
      const work = async () => {
        const { thread } = await group.startThread();
        await thread.submit({ type: "compact" }).catch(() => undefined);
        await group.quiet();
        await group.stopMember(thread.id);
        await group.dropMember(thread.id);
      };
      return { work, close: closing(parts) };
    },
  },
  {
    name: "fork, by messages of its source",
    sizes: [40, 4_000],
    prepare: async (size) => {
      const parts = await withHistory(size);
      const { manager, threadId: from } = parts;
      await manager.resumeThread(from, undefined, { initialMessages: "none" });
      return {
        work: () => manager.forkThread({ from, at: { beforeUserMessage: size >> 2 } }, { initialMessages: "none" }),
        close: closing(parts),
      };
    },
  },
  {
    name: "append, by lines of the thread",
    sizes: [40, 4_000],
    prepare: async (size) => {
      const parts = await withHistory(size);
      const writer = await parts.store.open(parts.threadId);
      const work = async () => {
        writer.append({ type: "response_item", payload: userMessage("one more") });
        await writer.flush();
      };
      return { work, close: async () => writer.close().then(closing(parts)) };
    },
  },
  {
    name: "first page of a list, by stored threads",
    sizes: [500, 2_000],
    // The newest 400 files are looked at before each answer, so both sizes are above that.
    prepare: async (size) => {
      const parts = await opened();
      for (let made = 0; made < size; made += 1) {
        const writer = await parts.store.create(metaOf());
        writer.append({ type: "response_item", payload: userMessage(`question ${made}`) });
        await writer.close();
      }
      // What a folder holds is kept as soon as its last change is over: once, and not while lists are measured.
      await new Promise((resolve) => setTimeout(resolve, 250));
      // The list begins a scan in the background, which would be measured with the next one: it is over when a later one is.
      await parts.store.list({ limit: 25 });
      await parts.store.rescan();
      return { work: () => parts.store.list({ limit: 25 }), close: closing(parts) };
    },
  },
  {
    name: "unload and reload, by messages of the thread",
    sizes: [1_000, 20_000],
    prepare: async (size) => {
      const parts = await withHistory(size);
      const { manager, threadId } = parts;
      const reload = async () => {
        const { thread } = await manager.resumeThread(threadId, undefined, { initialMessages: "none" });
        await thread.shutdown();
      };
      await reload();
      return { work: reload, close: closing(parts) };
    },
  },
];

/** What one piece of work costs. The first run is for compilers and caches. */
async function measure({ work }: Prepared): Promise<Costs> {
  await runOf(work);
  const runs: Costs[] = [];
  const before = memory().heap;
  for (let run = 0; run < RUNS; run += 1) runs.push(await runOf(work));
  return { ...costsOf(runs), heap: Math.max(0, Math.round((memory().heap - before) / (RUNS * REPEATS))) };
}

async function runOf(work: Prepared["work"]): Promise<Costs> {
  const files = fsTotals();
  const cpu = process.cpuUsage();
  for (let at = 0; at < REPEATS; at += 1) await work();
  const { user, system } = process.cpuUsage(cpu);
  const after = fsTotals();
  const sums = {
    fsCalls: after.fsCalls - files.fsCalls,
    bytesWritten: after.bytesWritten - files.bytesWritten,
    bytesRead: after.bytesRead - files.bytesRead,
    cpuUs: user + system,
  };
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, Math.round(sum / REPEATS)]));
}

/** What grew in a case. A machine that is busy elsewhere may spoil a try, and then the next one tells. */
async function grown({ name, sizes, prepare }: Case): Promise<number> {
  for (let tries = TRIES; ; tries -= 1) {
    const costs: Costs[] = [];
    for (const size of sizes) {
      const prepared = await prepare(size);
      costs.push(await measure(prepared));
      await prepared.close();
    }
    const [small = {}, large = {}] = costs;
    const verdicts = judge(small, large);
    const failures = verdicts.filter(({ holds }) => !holds).length;
    if (failures > 0 && tries > 1) continue;
    for (const verdict of verdicts) print({ shape: name, sizes, ...verdict });
    return failures;
  }
}

openRoot();
const chosen = process.argv.slice(2);
const isChosen = ({ name }: Case): boolean => chosen.length === 0 || chosen.some((part) => name.startsWith(part));
let failures = 0;
for (const each of cases.filter(isChosen)) failures += await grown(each);
if (failures > 0) {
  process.stderr.write(`${failures} costs grow with what they must not grow with (holds: false)\n`);
  process.exitCode = 1;
}
