/**
 * Everything that a cluster is made of dies, stands still or is replaced while submissions come at a steady pace. Counted from
 * outside: by the model's server, by SQL, by the clients. `SKEIN_CLUSTER_SUBMISSIONS` (500) and `SKEIN_CLUSTER_PAUSE_S` (4) say how
 * long it goes; `npm run soak` has the long form.
 */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ClusterRig } from "./cluster-rig.ts";
import { Load, type LoadReport } from "./load.ts";

const SUBMISSIONS = Number(process.env.SKEIN_CLUSTER_SUBMISSIONS ?? 500);
const PAUSE_S = Number(process.env.SKEIN_CLUSTER_PAUSE_S ?? 4);
const THREADS = 50;
const PER_SECOND = 25;
const BREATH_MS = 1_000;
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

async function under(
  rig: ClusterRig,
  submissions: number,
  troubles: readonly [string, Trouble][],
): Promise<LoadReport> {
  const before = rig.model.repeated;
  await using load = await Load.prepare({ ingress: rig.ingress, threads: THREADS, submissions, perSecond: PER_SECOND });
  const running = load.run();
  const told: string[] = [];
  for (const [name, trouble] of troubles) {
    const beganAt = performance.now();
    await delay(BREATH_MS);
    await trouble(rig);
    told.push(`${name} ${Math.round(performance.now() - beganAt)} ms`);
    process.stderr.write(`${told.at(-1)}; ${load.open} submissions are open\n`);
  }
  await running;
  const report = await load.check(rig.postgres.url, SETTLED_MS);
  const repeated = rig.model.repeated - before;
  process.stdout.write(`${JSON.stringify({ ...report, modelCallsRepeated: repeated, troubles: told })}\n`);
  return report;
}

suite("a cluster under trouble", { timeout: 1_800_000 }, () => {
  test("workers, the server and the database die and come back, a worker stands still, both are replaced", async () => {
    await using rig = await ClusterRig.start();
    const report = await under(rig, SUBMISSIONS, [
      ["worker 1 killed", killWorker(0)],
      ["server killed", killNode(0)],
      ["worker 2 killed", killWorker(1)],
      ["worker 1 paused", pauseWorker(0)],
      ["database killed", killPostgres],
      ["server killed again", killNode(0)],
      ["both workers replaced", upgrade],
    ]);
    assert.equal(report.resent, Math.ceil(SUBMISSIONS / 10));
  });

  test("of three servers one dies, then all", async () => {
    await using rig = await ClusterRig.start({ nodes: 3 });
    await under(rig, Math.ceil(SUBMISSIONS / 2), [
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
