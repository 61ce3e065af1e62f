import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { hostname } from "node:os";
import { createInterface, type Interface } from "node:readline";
import { describe, test } from "node:test";
import { ThreadBusyError } from "../../../src/protocol/errors.ts";
import type { ThreadId } from "../../../src/protocol/ids.ts";
import type { RolloutLine } from "../../../src/protocol/rollout.ts";
import { gist, header, user } from "../../../src/store/contract/store-script.ts";
import { verifyHome } from "../../../src/store/file/care/verify.ts";
import { loaded, TempHome } from "./temp-home.ts";

const CHILD = new URL("./race-child.ts", import.meta.url).pathname;
const ROUNDS = Number(process.env.SKEIN_RACE_ROUNDS ?? 60);

type Said = [word: string, id: string, value: unknown];

function start(home: string, mode: string, ids: readonly ThreadId[]): { child: ChildProcess; said: Interface } {
  const child = spawn(process.execPath, [CHILD, home, mode, ids.join(","), String(ROUNDS)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  assert.ok(child.stdout);
  return { child, said: createInterface({ input: child.stdout }) };
}

async function listen(said: Interface, into: Said[]): Promise<void> {
  for await (const line of said) into.push(JSON.parse(line));
}

const assertWhole = (lines: readonly RolloutLine[]): void =>
  assert.deepEqual(
    lines.map((line) => line.ordinal),
    lines.map((_, n) => n),
  );

const ofOne = (said: readonly Said[], word: string, id: string): unknown[] =>
  said.filter(([what, thread]) => what === word && thread === id).map(([, , value]) => value);

describe("two processes on one home", () => {
  test("race for threads: every stored line is there once, no line of another lies between, epochs rise", async () => {
    await using home = new TempHome();
    const store = home.open();
    const ids: ThreadId[] = [];
    for (let n = 0; n < 2; n += 1) {
      const writer = await store.create(header());
      ids.push(writer.threadId);
      await writer.close();
    }
    const said: Said[][] = [[], [], []];
    await Promise.all(
      said.map(async (words) => {
        const { child, said: lines } = start(home.path, "race", ids);
        await Promise.all([listen(lines, words), once(child, "exit")]);
        assert.equal(child.exitCode, 0);
      }),
    );
    for (const id of ids) {
      const lines = await loaded(store, id);
      assertWhole(lines);
      const texts = gist(lines).slice(1);
      assert.equal(new Set(texts).size, texts.length, "no line twice");
      for (const words of said) {
        const told = ofOne(words, "stored", id).map(String);
        const own = texts.filter((text) => told.includes(text));
        assert.deepEqual(own, told, "all that was told is stored is there, in order");
      }
      const epochs = said.flatMap((words) => ofOne(words, "epoch", id).map(Number));
      assert.equal(new Set(epochs).size, epochs.length, "no epoch twice");
    }
    assert.ok(said.flat().some(([word]) => word === "busy"));
    const { faults } = await verifyHome({ home: home.path });
    assert.deepEqual(
      faults.filter(({ kind }) => !kind.startsWith("catalog")),
      [],
    );
  });

  test("a paused owner cannot write into a thread that somebody took over", async () => {
    await using home = new TempHome();
    const store = home.open();
    const made = await store.create(header());
    const id = made.threadId;
    await made.close();
    const { child, said } = start(home.path, "hold", [id]);
    const words: Said[] = [];
    const iterator = said[Symbol.asyncIterator]();
    while (words.length < 200) words.push(JSON.parse((await iterator.next()).value));
    child.kill("SIGSTOP");
    await assert.rejects(store.open(id), (error) => {
      assert.ok(error instanceof ThreadBusyError);
      assert.deepEqual([error.owner?.pid, error.owner?.host], [child.pid, hostname()]);
      return true;
    });
    const writer = await store.open(id, { lease: "takeOver" });
    assert.ok(writer.epoch > Number(ofOne(words, "epoch", id)[0]));
    const taken = writer.position().ordinal;
    writer.append(user("taken over"));
    await writer.flush();
    child.kill("SIGCONT");
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) words.push(JSON.parse(next.value));
    writer.append(user("still mine"));
    await writer.close();
    assert.ok(
      words.some(([word, code]) => word === "failed" && code === "thread_busy"),
      "the old owner was told",
    );
    const lines = await loaded(store, id);
    assertWhole(lines);
    assert.deepEqual(gist(lines.slice(taken)), ["taken over", "still mine"]);
    const told = ofOne(words, "stored", id).map(String);
    assert.deepEqual(gist(lines).slice(1, 1 + told.length), told, "what the old owner was told is stored is kept");
  });

  test("a dead owner's thread is taken at once, by one of those who come", async () => {
    await using home = new TempHome();
    const first = home.open();
    const made = await first.create(header());
    const id = made.threadId;
    await made.close();
    const { child, said } = start(home.path, "hold", [id]);
    const iterator = said[Symbol.asyncIterator]();
    for (let n = 0; n < 5; n += 1) await iterator.next();
    child.kill("SIGKILL");
    await once(child, "exit");
    const stores = [first, home.open(), home.open(), home.open()];
    const outcomes = await Promise.allSettled(stores.map((store) => store.open(id)));
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") assert.ok(outcome.reason instanceof ThreadBusyError);
      else assert.equal(outcome.value.epoch, 3);
    }
  });
});
