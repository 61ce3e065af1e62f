/**
 * What does each journey cost, and where does its time go? CPU time and bytes allocated of one piece of work, and the ten functions with
 * the most CPU time of their own, in hundredths of the time that the process was at work, by V8's sampling profilers. A new run beside
 * an old one in git's history is the before and after.
 */
import { type HeapProfiler, type Profiler, Session } from "node:inspector/promises";
import { fileStore, say, scriptedClient, type Thread, ThreadManager } from "../src/index.ts";
import { benchFolder } from "./folders.ts";
import { bench, type Measured, print } from "./harness.ts";

const DELTAS = Array.from({ length: 20 }, (_, at) => `word${at} `);
/** A journey is repeated for so long. */
const MS = 1_500;
const MESSAGES = 200;
const SHOWN = 10;

type Journey = (manager: ThreadManager, thread: Thread) => Promise<unknown>;

const listen = (thread: Thread, count: number): void => {
  for (let at = 0; at < count; at += 1) thread.events$.subscribe(() => undefined);
};

/** What is done once before, and what over and over. */
const JOURNEYS: Readonly<Record<string, { readonly before?: (thread: Thread) => void; readonly work: Journey }>> = {
  start: {
    work: async (manager) =>
      manager.removeThread((await manager.startThread()).threadId).then((made) => made?.shutdown()),
  },
  op: { work: (_, thread) => thread.submit({ type: "override_turn_context" }) },
  "turn of 20 deltas": { work: (_, thread) => thread.run("go") },
  "turn of 20 deltas to 1 subscriber": {
    before: (thread) => listen(thread, 1),
    work: (_, thread) => thread.run("go"),
  },
  "turn of 20 deltas to 100 subscribers": {
    before: (thread) => listen(thread, 100),
    work: (_, thread) => thread.run("go"),
  },
  fork: {
    work: async (manager, { id }) =>
      manager.removeThread((await manager.forkThread({ from: id })).threadId).then((made) => made?.shutdown()),
  },
  resume: {
    work: async (manager, { id }) => {
      await manager.removeThread(id).then((held) => held?.shutdown());
      await manager.resumeThread(id);
    },
  },
  list: { work: (manager) => manager.listThreads({ limit: 25 }) },
};

/** The journey over and over, for so many milliseconds; gives how often. */
type Repeat = (ms: number) => Promise<number>;

async function onJourney(name: string, measure: (repeat: Repeat, session: Session) => Promise<Measured>) {
  const journey = JOURNEYS[name];
  if (journey === undefined) throw new Error(`there is no journey ${name}`);
  await using manager = await ThreadManager.create({
    store: fileStore({ home: await benchFolder() }),
    model: scriptedClient(() => [say(DELTAS.join(""), { deltas: DELTAS })]),
    config: { builtInTools: [] },
  });
  const { thread } = await manager.startThread();
  for (let at = 0; at < MESSAGES / 2; at += 1) await thread.run("go");
  journey.before?.(thread);
  const repeat = (ms: number) => repeated(ms, () => journey.work(manager, thread));
  await repeat(MS / 5);
  const session = new Session();
  session.connect();
  try {
    return await measure(repeat, session);
  } finally {
    session.disconnect();
  }
}

const profiled = (name: string): Promise<Measured> =>
  onJourney(name, async (repeat, session) => {
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: 200 });
    await session.post("Profiler.start");
    await repeat(MS);
    return dearest((await session.post("Profiler.stop")).profile);
  });

/** CPU time is that of all threads of the process; bytes are of V8's heap, freed ones too. */
const budget = (name: string): Promise<Measured> =>
  onJourney(name, async (repeat, session) => {
    const before = process.cpuUsage();
    const times = await repeat(MS);
    const { user, system } = process.cpuUsage(before);
    await session.post("HeapProfiler.startSampling", {
      ...{ samplingInterval: 16_384, includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true },
    });
    const sampled = await repeat(MS / 2);
    const { profile } = await session.post("HeapProfiler.stopSampling");
    return { cpuUs: (user + system) / times, allocatedBytes: bytesOf(profile.head) / sampled };
  });

const bytesOf = ({ selfSize, children }: HeapProfiler.SamplingHeapProfileNode): number =>
  children.reduce((sum, child) => sum + bytesOf(child), selfSize);

async function repeated(ms: number, work: () => Promise<unknown>): Promise<number> {
  const until = performance.now() + ms;
  let times = 0;
  for (; performance.now() < until; times += 1) await work();
  return times;
}

/** Waiting, and what the profiler itself takes. */
const NO_WORK = new Set(["(idle)", "(root)", "post node:inspector"]);

/** Own time by function, of all but waiting. */
function dearest({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Measured {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const own = new Map<string, number>();
  for (const [at, id] of samples.entries()) {
    const name = names.get(id) ?? "";
    if (!NO_WORK.has(name)) own.set(name, (own.get(name) ?? 0) + (timeDeltas[at] ?? 0));
  }
  const sum = [...own.values()].reduce((together, us) => together + us, 0);
  const sorted = [...own].sort(([, a], [, b]) => b - a).slice(0, SHOWN);
  return Object.fromEntries(sorted.map(([name, us]) => [name, (100 * us) / sum]));
}

/** Without line numbers, so that a run stands beside an older one. */
function nameOf({ functionName, url }: { readonly functionName: string; readonly url: string }): string {
  const file =
    url
      .split(/\/(?:node_modules|skein|src)\//)
      .at(-1)
      ?.replace(/^.*\/(?=[^/]+\/[^/]+$)/, "") ?? "";
  return file === "" ? functionName : `${functionName || "(anonymous)"} ${file}`;
}

const cases = {
  profiled: ({ journey = "" }) => profiled(journey),
  budget: ({ journey = "" }) => budget(journey),
};

await bench(import.meta.url, cases, async (run) => {
  for (const journey of Object.keys(JOURNEYS))
    print({ bench: "profile", case: journey, ...(await run.samples("budget", { journey }, 1)) });
  for (const journey of Object.keys(JOURNEYS)) {
    const shares = await run.samples("profiled", { journey }, 1);
    for (const [name, share] of Object.entries(shares))
      print({ bench: "profile", case: journey, function: name, ownPercent: share });
  }
});
