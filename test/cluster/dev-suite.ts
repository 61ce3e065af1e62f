/** `skein cluster dev` and `skein worker` as their users have them: what they show, how they end, and what they refuse. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "../../src/cluster/index.ts";
import { jsonLines, skein, start } from "../cli/skein.ts";

/** The engines are in the cache of whoever runs this. */
const env = { SKEIN_CACHE: process.env.SKEIN_CACHE ?? process.env.XDG_CACHE_HOME ?? `${process.env.HOME}/.cache` };

/** What a cluster would leave behind: its folders, and processes that name one of them or are its workers. */
const foldersNow = (): string[] =>
  readdirSync(tmpdir()).filter((name) => /^skein-(postgres|restate|worker)-/.test(name));

function processesOf(parent: string): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
      return environment.includes(`SKEIN_TEST_RUN=${parent}`) || line.includes(parent) ? [line] : [];
    } catch {
      return [];
    }
  });
}

async function nothingLeft(before: readonly string[], run: string): Promise<void> {
  const until = Date.now() + 30_000;
  for (;;) {
    const left = [...foldersNow().filter((name) => !before.includes(name)), ...processesOf(run)];
    if (left.length === 0) return;
    assert.ok(Date.now() < until, left.join("\n"));
    await delay(100);
  }
}

/** Starts the command, and gives what it has said on standard error so far. */
function started(args: readonly string[], run: string) {
  const child = start(["cluster", "dev", ...args], { env: { ...env, SKEIN_TEST_RUN: run } });
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
    const before = foldersNow();
    const { code, stdout, stderr } = await skein(["cluster", "dev", "--json"], {
      env: { ...env, SKEIN_TEST_RUN: "played" },
    });
    assert.equal(code, 0, stderr);
    const { threads, turns, forks, interrupted, removed, failed, toolCalls } = jsonLines(stdout).at(-1) ?? {};
    assert.deepEqual(
      { threads, turns, forks, interrupted, removed, failed, toolCalls },
      { threads: 6, turns: 18, forks: 1, interrupted: 1, removed: 1, failed: 0, toolCalls: 1 },
    );
    for (const step of ["starting PostgreSQL", "starting restate-server", "starting 2 workers", "waiting for"])
      assert.ok(stderr.includes(step), step);
    await nothingLeft(before, "played");
  });

  for (const phase of [
    "starting PostgreSQL",
    "starting restate-server",
    "starting 2 workers",
    "waiting for the first",
  ]) {
    test(`Ctrl-C while it is ${phase} leaves nothing`, async () => {
      const before = foldersNow();
      const dev = started([], "stopped");
      await dev.until(phase);
      dev.child.kill("SIGINT");
      assert.equal(await dev.exited, 130);
      await nothingLeft(before, "stopped");
    });
  }

  test("--keep says how to use it, serves whoever connects, and a killed owner leaves nothing", async () => {
    const before = foldersNow();
    const dev = started(["--keep", "--threads", "2", "--turns", "1"], "kept");
    await dev.until("the engine ");
    const ingress = /connect\(\{ ingress: "([^"]+)" \}\)/.exec(dev.said())?.[1] ?? "";
    const store = /--store (\S+)/.exec(dev.said())?.[1] ?? "";
    const threads = connect({ ingress });
    const { thread } = await threads.startThread();
    assert.equal((await thread.run("hello")).lastAgentMessage, "ack: hello");
    await threads.close();
    const { stdout } = await skein(["list", "--store", store, "--json"]);
    assert.match(stdout, new RegExp(thread.id));
    dev.child.kill("SIGKILL");
    await nothingLeft(before, "kept");
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
