/**
 * What a cluster is made of dies, stands still or is replaced while submissions come at a steady pace. Counted from outside: by
 * the model's server, by SQL, by the clients. The short form has one trouble at a time, and each is over before the next. With
 * `SKEIN_CLUSTER_SUBMISSIONS` the long form runs as well: each trouble under a load of so many, then all one upon the other, over
 * `SKEIN_CLUSTER_THREADS` (50) threads, `SKEIN_CLUSTER_PER_SECOND` (25) submissions a second, a worker standing still for
 * `SKEIN_CLUSTER_PAUSE_S` (30).
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { LEASH } from "../leash.ts";
import { ClusterRig } from "./cluster-rig.ts";
import { Load, type LoadReport } from "./load.ts";
import { NodeNetwork } from "./node-network.ts";

const SUBMISSIONS = Number(process.env.SKEIN_CLUSTER_SUBMISSIONS ?? 0);
const THREADS = Number(process.env.SKEIN_CLUSTER_THREADS ?? 50);
const PER_SECOND = Number(process.env.SKEIN_CLUSTER_PER_SECOND ?? 25);
const PAUSE_S = Number(process.env.SKEIN_CLUSTER_PAUSE_S ?? 30);
const SHORT = { threads: 10, submissions: 50, perSecond: 10 };
const LONG = { threads: THREADS, submissions: SUBMISSIONS, perSecond: PER_SECOND };
/** Submissions still come when the worker wakes. */
const OUTLASTING_PAUSE = { ...LONG, submissions: Math.max(SUBMISSIONS, PER_SECOND * (PAUSE_S + 10)) };
const isShort = SUBMISSIONS === 0 && "SKEIN_CLUSTER_SUBMISSIONS is not set";
/** From the last trouble on: what counts is that none is lost, also where other work has the machine. */
const TAKEN_MS = isShort === false ? 600_000 : 180_000;
const BREATH_MS = 1_000;
const CUT_OFF_MS = 10_000;
const SETTLED_MS = 180_000;

type Trouble = (rig: ClusterRig) => Promise<void>;

const killWorker =
  (n: number): Trouble =>
  async ({ workers }) => {
    await workers[n]?.end("SIGKILL");
    await delay(BREATH_MS);
    workers[n]?.start();
  };

const killNode =
  (n: number): Trouble =>
  async ({ nodes }) => {
    await nodes[n]?.kill();
    await nodes[n]?.start();
  };

const pauseWorker =
  (n: number): Trouble =>
  async ({ workers }) => {
    workers[n]?.pause();
    await delay(PAUSE_S * 1_000);
    workers[n]?.wake();
  };

const killPostgres: Trouble = async ({ postgres }) => {
  await postgres.kill();
  await delay(BREATH_MS);
  await postgres.start();
};

/** One after the other ends in order, and one of the new release takes its place. */
const upgrade: Trouble = async (rig) => {
  for (const worker of rig.workers) {
    await rig.untilWell(rig.workers.length);
    await worker.end("SIGTERM");
    worker.start();
  }
};

type Named = readonly [string, Trouble];
const SERVER_KILLED: Named = ["server killed", killNode(0)];
const DATABASE_KILLED: Named = ["database killed", killPostgres];
const WORKER_PAUSED: Named = ["worker 1 paused", pauseWorker(0)];
const REPLACED: Named = ["both workers replaced", upgrade];

async function under(rig: ClusterRig, size: typeof SHORT, troubles: readonly Named[]): Promise<LoadReport> {
  const before = rig.model.repeated;
  await using load = await Load.prepare({ ingress: rig.ingress, ...size });
  const running = load.run();
  const told: string[] = [];
  for (const [name, trouble] of troubles) {
    const beganAt = performance.now();
    await delay(BREATH_MS);
    await trouble(rig);
    told.push(`${name} ${Math.round(performance.now() - beganAt)} ms`);
    process.stderr.write(`${told.at(-1)}; ${load.open} submissions are open\n`);
  }
  await Promise.race([
    running,
    delay(TAKEN_MS, undefined, { ref: false }).then(() => {
      const why = JSON.stringify(Object.fromEntries(load.failures));
      throw new Error(`${load.open} submissions are not taken ${TAKEN_MS} ms after the last trouble: ${why}`);
    }),
  ]);
  const report = await load.check(rig.postgres.url, SETTLED_MS);
  const repeated = rig.model.repeated - before;
  process.stdout.write(`${JSON.stringify({ ...report, modelCallsRepeated: repeated, troubles: told })}\n`);
  return report;
}

suite("a cluster under trouble", { timeout: 3_600_000 }, () => {
  test("a worker is killed, then the server, then the database", async () => {
    await using rig = await ClusterRig.start();
    for (const [name, trouble] of [
      ["worker 1 killed", killWorker(0)],
      ["server killed", killNode(0)],
      ["database killed", killPostgres],
    ] as const) {
      const report = await under(rig, SHORT, [[name, trouble]]);
      assert.equal(report.resent, SHORT.submissions / 10);
      await rig.untilWell(2);
    }
  });

  test("what a killed run has left of its network is removed by the next", { skip: NodeNetwork.missing }, async () => {
    const child = spawn(process.execPath, [...LEASH, fileURLToPath(new URL("./network-child.ts", import.meta.url))], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    const left = () =>
      [
        ["netns", "list"],
        ["-o", "link"],
      ]
        .map((args) => spawnSync("ip", args, { encoding: "utf8" }).stdout)
        .join("\n")
        .includes(`sk${child.pid}`);
    assert.ok(left());
    await using _network = NodeNetwork.create(1);
    assert.ok(!left());
  });

  test("one of three nodes is cut off from everybody for 10 s", { skip: NodeNetwork.missing }, async () => {
    await using network = NodeNetwork.create(3);
    await using rig = await ClusterRig.start({ nodes: 3, network });
    const cutOff = async () => {
      network.cutOff(2);
      await delay(CUT_OFF_MS);
      network.mend(2);
    };
    await under(rig, isShort === false ? LONG : SHORT, [["node 3 cut off", cutOff]]);
  });

  test("one trouble after the other, each under a load of its own", { skip: isShort }, async () => {
    await using rig = await ClusterRig.start();
    const workersInTurns = [0, 1, 0, 1].map((n): Named => [`worker ${n + 1} killed`, killWorker(n)]);
    for (const [troubles, size = LONG] of [
      [workersInTurns],
      [[SERVER_KILLED, SERVER_KILLED]],
      [[DATABASE_KILLED]],
      [[WORKER_PAUSED], OUTLASTING_PAUSE],
      [[REPLACED]],
    ] satisfies [readonly Named[], typeof LONG?][]) {
      const report = await under(rig, size, troubles);
      assert.equal(report.resent, Math.ceil(size.submissions / 10));
      await rig.untilWell(2);
    }
  });

  test("all of them one upon the other", { skip: isShort }, async () => {
    await using rig = await ClusterRig.start();
    await under(rig, OUTLASTING_PAUSE, [
      ["worker 1 killed", killWorker(0)],
      SERVER_KILLED,
      ["worker 2 killed", killWorker(1)],
      WORKER_PAUSED,
      DATABASE_KILLED,
      SERVER_KILLED,
      REPLACED,
    ]);
  });

  test("of three servers one dies, then all", { skip: isShort }, async () => {
    await using rig = await ClusterRig.start({ nodes: 3 });
    await under(rig, LONG, [
      ["one of three killed", killNode(2)],
      [
        "all three killed",
        async ({ nodes }) => {
          await Promise.all(nodes.map((node) => node.kill()));
          for (const node of nodes) node.launch();
          await Promise.all(nodes.map((node) => node.untilHealthy()));
        },
      ],
    ]);
  });
});
