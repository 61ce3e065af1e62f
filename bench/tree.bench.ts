/**
 * What does a tree of agents cost: to completion, a message to an agent and its answer, a crash until it lives again; beside OTP's processes
 * and nact's actors in the same run, where `erl` is there and nact can be fetched? `BENCH_TREE_SIZES` (default 1000,10000,100000) says how
 * many agents. No run of a case begins after five minutes.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { fromCallback } from "xstate";
import * as z from "zod";
import { addressOf, defineThreadLogic, memoryStore, say, scriptedClient, ThreadManager } from "../src/index.ts";
import { bench, type Measured, memory, nowUs, print } from "./harness.ts";
import { CACHE, fetchPackages } from "./peers/fetch.ts";

const SIZES = (process.env.BENCH_TREE_SIZES ?? "1000,10000,100000").split(",").map(Number);
const ROUNDS = Number(process.env.BENCH_TREE_ROUNDS ?? 2_000);
const WIDTH = 10;
const LAST_BEGIN_MS = 5 * 60_000;
const NACT = join(CACHE, "peers/nact");
const NO_LIMITS = { residentThreads: 10_000_000, treeSize: 10_000_000, childrenPerParent: 10_000_000, depth: 100 };

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

const spread = (times: readonly number[]): Measured => {
  const sorted = times.toSorted((a, b) => a - b);
  return { p50Us: percentile(sorted, 0.5), p99Us: percentile(sorted, 0.99) };
};

type Message = { type: string; op?: { type: string }; msg?: object };
const crashing = fromCallback<Message>(({ receive, emit }) =>
  receive(({ type, op, msg }) => {
    if (type === "session.configure") (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
    if (op?.type === "compact") throw new Error("as told");
  }),
);

const echo = defineThreadLogic({
  messages: { ping: { message: z.object({ n: z.number() }), reply: z.number() }, tell: z.object({ n: z.number() }) },
  receive: { ping: ({ n }) => n, tell: () => undefined },
  turn: () => "done",
});

const create = (options = {}) =>
  ThreadManager.create({
    store: memoryStore(),
    model: scriptedClient(() => [say("done")]),
    limits: NO_LIMITS,
    config: { builtInTools: [], cwd: "/" },
    ...options,
  });

/** The same three, of processes that answer one message and end; in microseconds. */
const OTP = `
-module(tree). -export([run/2]).
agent(0, Parent) -> Parent ! done;
agent(N, Parent) -> Self = self(), K = min(${WIDTH}, N), Rest = N - K,
  [spawn(fun() -> agent(Rest div K + (if I =< Rest rem K -> 1; true -> 0 end), Self) end) || I <- lists:seq(1, K)],
  [receive done -> ok end || _ <- lists:seq(1, K)], Parent ! done.
echo() -> receive {From, M} -> From ! M, echo(); crash -> exit(told) end.
us(F) -> T = erlang:monotonic_time(nanosecond), F(), (erlang:monotonic_time(nanosecond) - T) / 1000.
ends(L) -> S = lists:sort(L), N = length(S), {lists:nth(N div 2 + 1, S), lists:nth(trunc(N * 0.99) + 1, S)}.
run(N, R) ->
  Self = self(),
  Tree = us(fun() -> spawn(fun() -> agent(N, Self) end), receive done -> ok end end),
  E = spawn(fun echo/0),
  {M50, M99} = ends([us(fun() -> E ! {Self, I}, receive I -> ok end end) || I <- lists:seq(1, R)]),
  process_flag(trap_exit, true),
  {C50, C99} = ends([begin P = spawn_link(fun echo/0), us(fun() -> P ! crash, receive {'EXIT', P, _} -> Q = spawn(fun echo/0),
    Q ! {Self, up}, receive up -> ok end end end) end || _ <- lists:seq(1, R)]),
  io:format("~p ~p ~p ~p ~p~n", [Tree, M50, M99, C50, C99]).
`;

const cases = {
  /** One root, each agent with ten under it; each does one turn, and all ends are told. */
  async tree({ n }: Readonly<Record<string, string>>): Promise<Measured> {
    const agents = Number(n);
    const manager = await create();
    const control = manager.agentControl();
    const { threadId: root } = await manager.startThread();
    const before = memory();
    const started = nowUs();
    const parents = [root];
    const ids: (typeof root)[] = [];
    for (let at = 0; ids.length < agents; at += 1) {
      const parentThreadId = parents[at] ?? root;
      const room = Math.min(WIDTH, agents - ids.length);
      const made = await Promise.all(
        Array.from({ length: room }, () => control.spawnAgent({}, "work", { parentThreadId })),
      );
      ids.push(...made);
      parents.push(...made);
    }
    for (let at = 0; at < ids.length; at += 1_000) {
      await control.waitFor(ids.slice(at, at + 1_000), { mode: "all", deadlineMs: 300_000 });
    }
    const us = nowUs() - started;
    const after = memory();
    const heapBytes = (after.heap - before.heap) / agents;
    const rssBytes = (after.rss - before.rss) / agents;
    return { agentsPerSecond: (agents / us) * 1e6, heapBytes, rssBytes };
  },
  /** A prompt to a child until its turn has completed. */
  async message(): Promise<Measured> {
    const manager = await create();
    const { threadId: parentThreadId } = await manager.startThread();
    const { thread } = await manager.startThread({}, { parentThreadId });
    const times: number[] = [];
    for (let left = ROUNDS; left > 0; left -= 1) {
      const start = nowUs();
      await thread.run("ping");
      times.push(nowUs() - start);
    }
    return spread(times);
  },
  /** A typed message to a child whose logic answers it, and its reply; and one that is only told, until it is in the child's mailbox. */
  async request(): Promise<Measured> {
    const manager = await create({ logics: { echo } });
    const { threadId: parentThreadId, thread: parent } = await manager.startThread();
    const { thread } = await manager.startThread({ logic: "echo" }, { parentThreadId });
    const at = addressOf(thread, echo.messages);
    const times: number[] = [];
    const sends: number[] = [];
    for (let n = 0; n < ROUNDS; n += 1) {
      const start = nowUs();
      await parent.request(at, { type: "ping", n });
      times.push(nowUs() - start);
      const sent = nowUs();
      await parent.send(at, { type: "tell", n });
      sends.push(nowUs() - sent);
    }
    const { p50Us: sendP50Us = 0, p99Us: sendP99Us = 0 } = spread(sends);
    return { ...spread(times), sendP50Us, sendP99Us };
  },
  /** A crash of a group's member until it has said its first event again, without a back-off. */
  async crash(): Promise<Measured> {
    const manager = await create({ threadLogic: crashing });
    const group = await manager.group({ maxRestarts: 10_000_000, periodMs: 1, backoff: 0, restart: "permanent" });
    const { thread } = await group.startThread();
    const times: number[] = [];
    for (let left = ROUNDS; left > 0; left -= 1) {
      const back = new Promise<void>((resolve) => {
        const watching = manager.threadCreated$.subscribe(() => {
          watching.unsubscribe();
          resolve();
        });
      });
      const start = nowUs();
      await thread.submit({ type: "compact" }).catch(() => undefined);
      await back;
      times.push(nowUs() - start);
      await group.quiet();
    }
    return spread(times);
  },
  /** The same three, of actors that answer one message and end; nact has no supervision that restarts with a new first word. */
  async nact({ n }: Readonly<Record<string, string>>): Promise<Measured> {
    const { start, stop, dispatch, query, spawn } = await nact();
    const agents = Number(n);
    const before = memory();
    const started = nowUs();
    const system = start();
    await new Promise<void>((resolve) => {
      let left = agents;
      const agent = (parent: object, under: number) => {
        const work = (_: unknown, __: never, { self }: { self: object }) => {
          for (let at = 0; at < WIDTH && under > at; at += 1)
            agent(self, Math.floor((under - WIDTH) / WIDTH) + (at < (under - WIDTH) % WIDTH ? 1 : 0));
          left -= 1;
          if (left === 0) resolve();
        };
        dispatch(spawn(parent, work), "work");
      };
      agent(system, agents - 1);
    });
    const us = nowUs() - started;
    const after = memory();
    stop(system);
    const other = start();
    const echo = spawn(other, (_: unknown, { back }: { back: object }) => dispatch(back, "back"));
    const times: number[] = [];
    for (let left = ROUNDS; left > 0; left -= 1) {
      const sent = nowUs();
      await query(echo, (back) => ({ back }), 10_000);
      times.push(nowUs() - sent);
    }
    const { p50Us: messageP50Us = 0, p99Us: messageP99Us = 0 } = spread(times);
    return {
      agentsPerSecond: (agents / us) * 1e6,
      heapBytes: (after.heap - before.heap) / agents,
      ...{ messageP50Us, messageP99Us },
    };
  },
  otp({ n, beam }: Readonly<Record<string, string>>): Measured {
    const args = ["-noshell", "-pa", beam ?? ".", "+P", "2000000", "-eval", `tree:run(${n}, ${ROUNDS}), halt().`];
    const [tree, m50, m99, c50, c99] = execFileSync("erl", args, { encoding: "utf8" }).trim().split(" ").map(Number);
    const agentsPerSecond = (Number(n) / (tree ?? Number.NaN)) * 1e6;
    return {
      agentsPerSecond,
      messageP50Us: m50 ?? 0,
      messageP99Us: m99 ?? 0,
      crashP50Us: c50 ?? 0,
      crashP99Us: c99 ?? 0,
    };
  },
};

/** As much of nact as is asked here. */
type Nact = {
  start(...plugins: unknown[]): object;
  stop(system: object): void;
  dispatch(to: object, message: object | string | number): void;
  query(to: object, message: (back: object) => object, ms: number): Promise<unknown>;
  spawn(
    parent: object,
    behave: (state: unknown, message: never, context: { self: object }) => unknown,
    name?: string,
    options?: object,
  ): object;
};

const nact = async (): Promise<Nact> => import(pathToFileURL(join(NACT, "node_modules/nact/lib/index.js")).href);

/** The folder with OTP's module; undefined where there is no `erlc`. */
async function compiled(): Promise<string | undefined> {
  const { mkdtempSync, writeFileSync } = await import("node:fs");
  const { tmpdir } = await import("node:os");
  const { join } = await import("node:path");
  const folder = mkdtempSync(join(tmpdir(), "skein-otp-"));
  writeFileSync(join(folder, "tree.erl"), OTP);
  try {
    execFileSync("erlc", ["-o", folder, join(folder, "tree.erl")], { stdio: ["ignore", "inherit", "inherit"] });
    return folder;
  } catch {
    return undefined;
  }
}

/** Whether nact is here, or could be fetched. */
const hasNact = (): Promise<boolean> =>
  fetchPackages(NACT, ["nact"]).then(
    () => true,
    () => false,
  );

await bench(import.meta.url, cases, async (run) => {
  const beam = await compiled();
  const isNactHere = await hasNact();
  const samples = (name: string, args: Record<string, string | number> = {}) =>
    run.samples(name, args, Number(args.n) >= 100_000 ? 1 : undefined, LAST_BEGIN_MS);
  for (const [bench, name] of [
    ["skein: message to an agent and back", "request"],
    ["skein: prompt to an agent and its turn", "message"],
    ["skein: crash until it lives again", "crash"],
  ] as const)
    print({ bench: "tree", case: bench, n: ROUNDS, ...(await samples(name)) });
  for (const n of SIZES) {
    print({ bench: "tree", case: "skein, to completion", n, ...(await samples("tree", { n })) });
    if (beam !== undefined) {
      const { agentsPerSecond, ...rest } = await samples("otp", { n, beam });
      print({ bench: "tree", case: "OTP processes, to completion", n, agentsPerSecond });
      if (n === SIZES[0]) print({ bench: "tree", case: "OTP: message and back, crash and respawn", n, ...rest });
    }
    if (!isNactHere) continue;
    const { messageP50Us, messageP99Us, ...rest } = await samples("nact", { n });
    print({ bench: "tree", case: "nact actors, to completion", n, ...rest });
    if (n === SIZES[0]) print({ bench: "tree", case: "nact: message and back", n: ROUNDS, messageP50Us, messageP99Us });
  }
});
