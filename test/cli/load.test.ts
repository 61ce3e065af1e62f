/** The load generator: what comes when, how it is timed, and the command on real threads. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Writable } from "node:stream";
import { suite, test } from "node:test";
import fc from "fast-check";
import { createAppServer } from "../../src/app-server/index.ts";
import { Histogram } from "../../src/cli/load/histogram.ts";
import { type LoadClock, type LoadPlan, runLoad } from "../../src/cli/load/runner.ts";
import { type Arrival, schedule } from "../../src/cli/load/schedule.ts";
import { type LoadTarget, TurnFailed } from "../../src/cli/load/target.ts";
import { runProgram } from "../../src/cli/program.ts";
import type { Io } from "../../src/cli/terminal/io.ts";
import { memoryStore, scriptedClient, ThreadManager } from "../../src/index.ts";

suite("percentiles", () => {
  test("are within one percent of the exact ones, whatever the values", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3_600_000_000 }), { minLength: 1, maxLength: 200 }), (values) => {
        const histogram = new Histogram();
        for (const value of values) histogram.record(value);
        const sorted = values.toSorted((a, b) => a - b);
        for (const percent of [1, 50, 90, 99, 99.9, 100]) {
          const exact = sorted[Math.max(1, Math.ceil((values.length * percent) / 100)) - 1] ?? 0;
          const told = histogram.percentile(percent);
          assert.ok(told >= exact && told <= exact * 1.01 + 1, `p${percent}: ${told} for ${exact}`);
        }
        assert.equal(histogram.max, sorted.at(-1));
        assert.equal(histogram.count, values.length);
      }),
    );
  });

  test("of nothing are 0", () => {
    const histogram = new Histogram();
    assert.deepEqual([histogram.percentile(50), histogram.max, histogram.mean], [0, 0, 0]);
  });
});

suite("the schedule", () => {
  const times = (arrivals: Iterable<Arrival>) => [...arrivals].map(({ kind, at }) => `${kind} ${at}`);

  test("is even, in order, and ends with the time or with the last turn", () => {
    const rates = { turn: 4, fork: 2, remove: 1 };
    assert.deepEqual(times(schedule(rates, { seconds: 1, turns: 100 })), [
      ...["turn 0", "turn 250", "turn 500", "fork 500", "turn 750"],
    ]);
    assert.deepEqual(times(schedule(rates, { seconds: 60, turns: 2 })), ["turn 0", "turn 250"]);
    assert.deepEqual(times(schedule({ turn: 0, fork: 0, remove: 0 }, { seconds: 60, turns: 2 })), []);
  });
});

/** A clock that stands until it is waited for, and a target whose turns take what they are told to. */
function simulation(turnMs: (n: number) => number, failing: ReadonlySet<number> = new Set()) {
  let now = 0;
  const timers: { at: number; resolve: () => void }[] = [];
  const sleepUntil = (at: number) => new Promise<void>((resolve) => timers.push({ at, resolve }));
  const clock: LoadClock = {
    now: () => now,
    sleep: (ms, signal) => {
      if (signal.aborted) return Promise.resolve();
      const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      return Promise.race([sleepUntil(now + ms), aborted]);
    },
  };
  let turns = 0;
  const running = new Set<string>();
  const target: LoadTarget = {
    start: async () => `t${threads++}`,
    turn: async (threadId, signal) => {
      const n = turns++;
      assert.ok(!running.has(threadId), "one turn at a time");
      running.add(threadId);
      await clock.sleep(turnMs(n), signal);
      running.delete(threadId);
      signal.throwIfAborted();
      if (failing.has(n)) throw new TurnFailed("server_overloaded");
    },
    fork: async () => `f${threads++}`,
    remove: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  let threads = 0;
  /** Lets time pass for as long as the work takes. */
  const drive = async <T>(work: Promise<T>): Promise<T> => {
    let isOver = false;
    void work.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      timers.sort((a, b) => a.at - b.at);
      const first = timers.shift();
      if (first === undefined) continue;
      now = Math.max(now, first.at);
      first.resolve();
    }
    return work;
  };
  return { clock, target, drive };
}

const never = new AbortController().signal;
const plan = (rest: Partial<LoadPlan>): LoadPlan => ({
  ...{ threads: 1, turns: 10, seconds: 10, rates: { turn: 10, fork: 0, remove: 0 } },
  ...rest,
});

suite("an open loop", () => {
  test("a stall is felt by all who came meanwhile, not by the one that stalled alone", async () => {
    // Ten turns, 100 ms apart; the first one takes a second, the others none.
    const { clock, target, drive } = simulation((n) => (n === 0 ? 1_000 : 0));
    const result = await drive(runLoad(target, plan({}), { clock, signal: never }));
    assert.equal(result.turn.done, 10);
    assert.equal(result.turn.latencyMs.max, 1_000);
    // 1000, 900, 800 ... 100: a closed loop would say 0 for nine of them.
    assert.equal(Math.round(result.turn.latencyMs.mean), 550);
    assert.ok(result.turn.latencyMs.p50 >= 500 && result.turn.latencyMs.p50 <= 510);
  });

  test("idle threads share the turns; forks join them, removals leave the last one", async () => {
    const { clock, target, drive } = simulation(() => 1);
    const rates = { turn: 100, fork: 10, remove: 50 };
    const result = await drive(
      runLoad(target, plan({ threads: 5, turns: 100, seconds: 1, rates }), { clock, signal: never }),
    );
    assert.deepEqual([result.turn.done, result.start.done], [100, 5]);
    assert.equal(result.fork.done + result.remove.done + result.skipped, 9 + 49);
    assert.ok(result.skipped > 0);
  });

  test("failures are counted by their code, and their threads go on", async () => {
    const { clock, target, drive } = simulation(() => 1, new Set([1, 2]));
    const result = await drive(runLoad(target, plan({}), { clock, signal: never }));
    assert.deepEqual(result.errors, { server_overloaded: 2 });
    assert.deepEqual([result.turn.begun, result.turn.done, result.turn.failed, result.turn.unfinished], [10, 8, 2, 0]);
  });

  test("what hangs is unfinished after its ten seconds, and no failure", async () => {
    const { clock, target, drive } = simulation((n) => (n === 3 ? 3_600_000 : 1));
    const result = await drive(runLoad(target, plan({ threads: 4 }), { clock, signal: never }));
    assert.deepEqual([result.turn.done, result.turn.failed, result.turn.unfinished], [9, 0, 1]);
    assert.equal(result.interrupted, false);
  });

  test("an abort ends it at once, with what was done so far", async () => {
    const { clock, target, drive } = simulation(() => 5);
    const controller = new AbortController();
    const onProgress = ({ done }: { done: number }) => done >= 5 && controller.abort();
    const running = runLoad(target, plan({ turns: 1_000, seconds: 100 }), {
      clock,
      signal: controller.signal,
      onProgress,
    });
    const result = await drive(running);
    assert.equal(result.interrupted, true);
    assert.ok(result.turn.done >= 5 && result.turn.done < 10);
    assert.equal(result.turn.failed, 0);
  });

  test("a target that starts no thread is an error", async () => {
    const { clock, target } = simulation(() => 1);
    const broken = { ...target, start: () => Promise.reject(new TurnFailed("full")) };
    await assert.rejects(runLoad(broken, plan({}), { clock, signal: never }), /no thread could be started: full/);
  });
});

/** The command in this process: what it prints, and what it would exit with. */
async function skein(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const printed = { stdout: "", stderr: "" };
  const stream = (name: keyof typeof printed) =>
    new Writable({
      write: (chunk, _, done) => {
        printed[name] += String(chunk);
        done();
      },
    }) as unknown as NodeJS.WriteStream;
  const io: Io = {
    stdin: process.stdin,
    stdout: stream("stdout"),
    stderr: stream("stderr"),
    env: {},
    cwd: () => process.cwd(),
  };
  const code = await runProgram(["load", ...args], io);
  return { code, ...printed };
}

suite("skein load", () => {
  test("on a manager of its own: JSON with everything that was asked and done", async () => {
    const args = [
      "--threads",
      "4",
      "--turns",
      "5",
      "--seconds",
      "1",
      "--fork-rate",
      "3",
      "--remove-rate",
      "2",
      "--json",
    ];
    const { code, stdout, stderr } = await skein(args);
    assert.deepEqual([stderr, code], ["", 0]);
    const result = JSON.parse(stdout);
    assert.deepEqual([result.turn.done, result.turn.failed, result.start.done], [20, 0, 4]);
    assert.ok(result.fork.done + result.skipped > 0);
    assert.deepEqual(Object.keys(result.turn.latencyMs), ["p50", "p90", "p99", "p999", "max", "mean"]);
    assert.deepEqual([result.target, result.model, result.errors], ["embedded", "scripted", {}]);
  });

  test("JSON holds no option of another command, and no secret of an address", async () => {
    await using manager = await ThreadManager.create({ store: memoryStore(), model: scriptedClient() });
    const server = createAppServer(manager);
    const { url } = await server.listen("ws://127.0.0.1:0");
    try {
      const target = `${url.replace("ws://", "ws://ada:hush@")}/?token=hush`;
      const args = ["--target", target, "--threads", "1", "--turns", "1", "--seconds", "1", "--json"];
      const { code, stdout, stderr } = await skein([...args, "--store", "postgres://ada:hush@127.0.0.1/x"]);
      assert.deepEqual([stderr, code], ["", 0]);
      assert.doesNotMatch(stdout, /hush|altScreen/);
      assert.equal(JSON.parse(stdout).target, `${url}/`);
    } finally {
      await server.close();
    }
  });

  test("turns that nobody ends are no success, and are told", async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    try {
      const args = ["--model", `http://127.0.0.1:${port}/v1`, "--threads", "1", "--turns", "1", "--seconds", "1"];
      const { code, stdout } = await skein(args);
      assert.equal(code, 1);
      assert.match(stdout, /\n1 were not over 10 s after the end\n/);
    } finally {
      silent.closeAllConnections();
      await new Promise((resolve) => silent.close(resolve));
    }
  });

  test("on an app-server, as a table", async () => {
    await using manager = await ThreadManager.create({ store: memoryStore(), model: scriptedClient() });
    const server = createAppServer(manager);
    const { url } = await server.listen("ws://127.0.0.1:0");
    try {
      const args = ["--target", url, "--threads", "3", "--turns", "3", "--seconds", "1"];
      const { code, stdout, stderr } = await skein([...args, "--fork-rate", "4"]);
      assert.deepEqual([stderr, code], ["", 0]);
      assert.match(stdout, /^\s+done\s+failed/);
      assert.match(stdout, /\n\s*turn\s+9\s+0\s+0\s/);
    } finally {
      await server.close();
    }
  });

  test("Ctrl-C ends it with what was done so far", async () => {
    const running = skein(["--threads", "2", "--turns", "100000", "--seconds", "1000", "--json"]);
    while (process.listenerCount("SIGINT") === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    process.emit("SIGINT", "SIGINT");
    const { code, stdout } = await running;
    assert.equal(code, 130);
    const result = JSON.parse(stdout);
    assert.deepEqual([result.interrupted, result.turn.failed], [true, 0]);
    assert.equal(process.listenerCount("SIGINT"), 0);
  });

  const refused: [string[], RegExp][] = [
    [["--target", "ws://example.com:1"], /another machine; --allow-remote/],
    [["--target", "ws://127.0.0.1.example.com:1"], /another machine; --allow-remote/],
    [["--model", "https://example.com/v1"], /another machine; --allow-remote/],
    [["--target", "http://127.0.0.1:1"], /--target must be ws:\/\//],
    [["--model", "nonsense"], /--model must be http/],
    [["--target", "ws://127.0.0.1:1", "--model", "http://127.0.0.1:1"], /a server chooses its own/],
    [["--threads", "0"], /whole number from 1/],
    [["--rate", "-1"], /number from 0/],
  ];
  for (const [args, text] of refused) {
    test(`${args.join(" ")} is refused`, async () => {
      const { code, stderr } = await skein(args);
      assert.equal(code, 2);
      assert.match(stderr, text);
    });
  }

  test("a server that is not there is an error", async () => {
    const { code, stderr } = await skein(["--target", "ws://127.0.0.1:1", "--seconds", "1"]);
    assert.equal(code, 1);
    assert.match(stderr, /^error: --target: no app-server can be reached there: .*ECONNREFUSED/);
  });
});
