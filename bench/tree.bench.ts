/**
 * What does a tree of agents cost: to completion, a message to an agent and its answer, a crash until it lives again; beside OTP's processes
 * in the same run, where `erl` is there? `BENCH_TREE_SIZES` (default 1000,10000,100000) says how many agents.
 */
import { execFileSync } from "node:child_process";
import { fromCallback } from "xstate";
import * as z from "zod";
import { addressOf, defineThreadLogic, memoryStore, say, scriptedClient, ThreadManager } from "../src/index.ts";
import { bench, type Measured, memory, nowUs, print } from "./harness.ts";

const SIZES = (process.env.BENCH_TREE_SIZES ?? "1000,10000,100000").split(",").map(Number);
const ROUNDS = Number(process.env.BENCH_TREE_ROUNDS ?? 2_000);
const WIDTH = 10;
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

await bench(import.meta.url, cases, async (run) => {
  const beam = await compiled();
  for (const n of SIZES) {
    const tree = await run.samples("tree", { n });
    print({ bench: "tree", case: "skein, to completion", n, ...tree });
    if (beam === undefined) continue;
    const { agentsPerSecond, ...rest } = await run.samples("otp", { n, beam });
    print({ bench: "tree", case: "OTP processes, to completion", n, agentsPerSecond });
    if (n === SIZES[0]) print({ bench: "tree", case: "OTP: message and back, crash and respawn", n, ...rest });
  }
  print({ bench: "tree", case: "skein: message to an agent and back", n: ROUNDS, ...(await run.samples("request")) });
  print({
    bench: "tree",
    case: "skein: prompt to an agent and its turn",
    n: ROUNDS,
    ...(await run.samples("message")),
  });
  print({ bench: "tree", case: "skein: crash until it lives again", n: ROUNDS, ...(await run.samples("crash")) });
});
