/** Two processes on one home, killed at random under concurrent turns: each submission takes effect once, each turn ends once. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileStore, scriptedClient, ThreadManager } from "../../src/index.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { linesOf } from "../rig.ts";
import { tempFolder } from "./killed.ts";

const CHILD = new URL("./chaos-child.ts", import.meta.url).pathname;
const KILLS = Number(process.env.SKEIN_RECOVERY_KILLS ?? 4);
const THREADS = 4;
const INPUTS = 2 + Math.ceil(KILLS / 4);
const MOST_MS = 60_000 + KILLS * 10_000;

test(`${KILLS} kills: no submission is lost or doubled, and no turn has two ends`, async () => {
  using home = tempFolder();
  const store = fileStore({ home: home.path, fsync: "never" });
  const maker = await ThreadManager.create({ store, model: scriptedClient(), config: { cwd: home.path } });
  const plan = await Promise.all(
    Array.from({ length: THREADS }, async () => {
      const { threadId } = await maker.startThread();
      return { threadId, ids: Array.from({ length: INPUTS }, () => newThreadId() as string) };
    }),
  );
  await maker.shutdown();
  const until = Date.now() + MOST_MS;
  let kills = 0;
  const worker = async (own: typeof plan) => {
    const args = [CHILD, home.path, ...own.map(({ threadId, ids }) => [threadId, ...ids].join(","))];
    for (;;) {
      assert.ok(Date.now() < until, "the submissions never got done");
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      const exited = once(child, "exit");
      const isKilled = kills < KILLS;
      kills += 1;
      // Once it is at work, at a moment that nobody chose.
      if (isKilled) {
        await Promise.race([once(child.stdout, "data"), delay(8_000)]);
        await delay(Math.random() * 120);
        child.kill("SIGKILL");
      } else child.stdout.resume();
      await exited;
      if (!isKilled && child.exitCode === 0) return;
    }
  };
  // Both work on all threads, and so get into each other's way.
  await Promise.all([worker(plan), worker(plan.toReversed())]);
  for (const { threadId, ids } of plan) {
    const lines = await linesOf(store, threadId);
    assert.deepEqual(
      lines.map(({ ordinal }) => ordinal),
      lines.map((_, n) => n),
      "no two writers interleave",
    );
    for (const id of ids) {
      const inputs = lines.filter(
        (line) => line.type === "response_item" && JSON.stringify(line.payload).includes(`"input ${id}"`),
      );
      assert.equal(inputs.length, 1, `input ${id} is in the history once`);
      const ends = lines.filter(
        ({ type, payload }) =>
          type === "event_msg" &&
          Object(payload).turn_id === id &&
          /task_complete|turn_aborted/.test(JSON.stringify(payload)),
      );
      assert.deepEqual(
        ends.map(({ payload }) => Object(payload).type),
        ["task_complete"],
      );
    }
  }
  await store.close();
});
