/** `skein cluster dev` and `skein worker` as their users have them: what they show, how they end, and what they refuse. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { connect as connectTo } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "../../src/cluster/index.ts";
import { jsonLines, skein, start } from "../cli/skein.ts";

/** The engines are in the cache of whoever runs this. */
const env = { SKEIN_CACHE: process.env.SKEIN_CACHE ?? process.env.XDG_CACHE_HOME ?? `${process.env.HOME}/.cache` };

/** A temporary folder of a run's own, which whoever PostgreSQL runs as can enter: what is left in it was left behind. */
class Run implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "skein-dev-run-"));
  readonly env = { ...env, TMPDIR: this.folder };

  constructor() {
    chmodSync(this.folder, 0o755);
  }

  get #processes(): { readonly pid: string; readonly line: string }[] {
    return readdirSync("/proc").flatMap((pid) => {
      try {
        const [line, environment] = ["cmdline", "environ"].map((name) => readFileSync(`/proc/${pid}/${name}`, "utf8"));
        const isOurs = line?.includes(this.folder) || environment?.includes(this.folder);
        return isOurs ? [{ pid, line: String(line).replaceAll("\0", " ") }] : [];
      } catch {
        return []; // no process, or one that has just ended
      }
    });
  }

  /** The process of a program, not of the shell that watches it. */
  pidOf(words: string): number {
    const found = this.#processes.find(({ line }) => line.includes(words) && !line.startsWith("sh "));
    return Number(found?.pid ?? assert.fail(`nothing runs ${words}`));
  }

  /** The ports that any of its processes listens on. */
  get ports(): number[] {
    const sockets = new Set(this.#processes.flatMap(({ pid }) => socketsOf(pid)));
    const rows = ["tcp", "tcp6"].flatMap((table) => readFileSync(`/proc/net/${table}`, "utf8").split("\n").slice(1));
    const listening = rows.map((row) => row.trim().split(/\s+/)).filter(([, , , state]) => state === "0A");
    const own = listening.filter((row) => sockets.has(`socket:[${row[9]}]`));
    return [...new Set(own.map(([, local = ""]) => Number.parseInt(local.split(":")[1] ?? "", 16)))];
  }

  get #left(): string[] {
    const processes = this.#processes.map(({ line }) => line);
    // Node keeps a cache there that is nobody's own.
    const folders = readdirSync(this.folder).filter((name) => name !== "node-compile-cache");
    return [...folders, ...processes];
  }

  async nothingLeft(): Promise<void> {
    for (const until = Date.now() + 60_000; this.#left.length > 0; await delay(200)) {
      assert.ok(Date.now() < until, this.#left.join("\n"));
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function socketsOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    return [];
  }
}

/** What a stranger is told: the code of the refusal, or `open`. */
const knock = (host: string, port: number): Promise<string> =>
  new Promise((resolve) => {
    const socket = connectTo({ host, port, timeout: 5_000 });
    const end = (outcome: string) => {
      socket.destroy();
      resolve(outcome);
    };
    socket.once("connect", () => end("open")).once("timeout", () => end("silent"));
    socket.once("error", ({ code = "" }: NodeJS.ErrnoException) => end(code));
  });

/** Starts the command, and gives what it has said on standard error so far. */
function started(args: readonly string[], run: Run) {
  const child = start(["cluster", "dev", ...args], { env: run.env });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  child.stdout.resume();
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const until = async (words: string): Promise<void> => {
    for (const end = Date.now() + 180_000; !said.includes(words); await delay(20)) {
      assert.ok(Date.now() < end && child.exitCode === null, `never said ${words}:\n${said}`);
    }
  };
  return { child, exited, until, said: () => said };
}

suite("skein cluster dev", { timeout: 900_000 }, () => {
  test("plays the demo over two workers, and leaves nothing", async () => {
    using run = new Run();
    const { code, stdout, stderr } = await skein(["cluster", "dev", "--json"], { env: run.env });
    assert.equal(code, 0, stderr);
    const { threads, turns, forks, interrupted, removed, failed } = jsonLines(stdout).at(-1) ?? {};
    assert.deepEqual(
      { threads, turns, forks, interrupted, removed, failed },
      { threads: 6, turns: 18, forks: 1, interrupted: 1, removed: 1, failed: 0 },
    );
    // That a call has begun is told live alone; that it has ended is in the history.
    assert.match(stdout, /"item_completed".*"drive_minutes".*"80"/);
    for (const step of ["starting PostgreSQL", "starting restate-server", "starting 2 workers", "waiting for"])
      assert.ok(stderr.includes(step), step);
    await run.nothingLeft();
  });

  for (const phase of [
    "starting PostgreSQL",
    "starting restate-server",
    "starting 2 workers",
    "waiting for the first",
  ]) {
    test(`Ctrl-C while it is ${phase} leaves nothing`, async () => {
      using run = new Run();
      const dev = started([], run);
      await dev.until(phase);
      dev.child.kill("SIGINT");
      assert.equal(await dev.exited, 130);
      await run.nothingLeft();
    });
  }

  test("a second Ctrl-C ends it at once, and leaves nothing all the same", async () => {
    using run = new Run();
    const dev = started(["--keep", "--threads", "2", "--turns", "1"], run);
    await dev.until("the engine ");
    dev.child.kill("SIGINT");
    dev.child.kill("SIGINT");
    assert.equal(await dev.exited, 130);
    await run.nothingLeft();
  });

  for (const [part, words] of [
    ["restate-server", "/bin/restate-server --base-dir"],
    ["PostgreSQL", "bin/postgres -D"],
  ] as const) {
    test(`--keep ends with the reason when ${part} ends by itself`, async () => {
      using run = new Run();
      const dev = started(["--keep", "--threads", "2", "--turns", "1"], run);
      await dev.until("the engine ");
      process.kill(run.pidOf(words), "SIGKILL");
      assert.equal(await dev.exited, 1);
      assert.match(dev.said(), new RegExp(`${part} ended`));
      await run.nothingLeft();
    });
  }

  test("--keep says how to use it, serves whoever connects on this machine and no stranger, and a killed owner leaves nothing", async () => {
    using run = new Run();
    const dev = started(["--keep", "--threads", "2", "--turns", "1"], run);
    await dev.until("the engine ");
    const ingress = /connect\(\{ ingress: "([^"]+)" \}\)/.exec(dev.said())?.[1] ?? "";
    const store = /--store (\S+)/.exec(dev.said())?.[1] ?? "";
    const threads = connect({ ingress });
    const { thread } = await threads.startThread();
    assert.equal((await thread.run("hello")).lastAgentMessage, "ack: hello");
    await threads.close();
    const { stdout } = await skein(["list", "--store", store, "--json"]);
    assert.match(stdout, new RegExp(thread.id));
    // Of PostgreSQL one, of restate-server three, of two workers and the balancer one each.
    assert.ok(run.ports.length >= 7, String(run.ports));
    const strangers = Object.values(networkInterfaces()).flatMap((own = []) => own.filter(({ internal }) => !internal));
    for (const port of run.ports) {
      assert.equal(await knock("127.0.0.1", port), "open", `port ${port}`);
      for (const { address, scopeid } of strangers) {
        if (scopeid) continue; // a link-local address is one link's own
        assert.equal(await knock(address, port), "ECONNREFUSED", `port ${port} of ${address}`);
      }
    }
    dev.child.kill("SIGKILL");
    await run.nothingLeft();
  });
});

suite("skein worker", () => {
  test("says what is wrong before it does anything", async () => {
    const wrong: [string[], RegExp][] = [
      [["worker"], /needs the database that all workers share: --store postgres/],
      [
        ["worker", "--store", "postgres://x@127.0.0.1:1/x", "--ingress", "restate"],
        /--ingress takes http:\/\/HOST:PORT/,
      ],
      [["worker", "--store", "postgres://x@127.0.0.1:1/x", "--uri", "http://b:1"], /go together with --ingress/],
      [["worker", "--port", "70000"], /whole number from 0 to 65535/],
      [["cluster", "dev", "--workers", "0"], /whole number from 1 to 64/],
    ];
    for (const [args, words] of wrong) {
      const { code, stderr } = await skein(args);
      assert.match(stderr, words);
      assert.equal(code, 2, args.join(" "));
    }
  });

  test("a database that is away is told at once", async () => {
    const { code, stderr } = await skein(["worker", "--store", "postgres://x@127.0.0.1:1/x", "--port", "0"]);
    assert.equal(code, 1);
    assert.match(stderr, /store_io/);
  });
});
