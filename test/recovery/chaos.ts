/** Two processes on one store, killed at random under concurrent turns and forks; played by chaos.test.ts on files, and on a server. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { scriptedClient, ThreadManager } from "../../src/index.ts";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import type { RolloutLine } from "../../src/protocol/rollout.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { LEASH } from "../leash.ts";
import { linesOf } from "../rig.ts";
import type { DyingPlace } from "./killed.ts";

const CHILD = new URL("./chaos-child.ts", import.meta.url).pathname;
const THREADS = 4;

/** `npm run soak` has hundreds. */
export const KILLS = Number(process.env.SKEIN_RECOVERY_KILLS ?? 4);

type Plan = readonly { readonly threadId: ThreadId; readonly ids: readonly string[] }[];
type Fork = { readonly fork: ThreadId; readonly of: ThreadId };

/** How much there was of it. */
export type Seen = { readonly submissions: number; readonly forks: number; readonly troubles: number };

/** What befalls the store itself while both work; as often as processes are killed, one after the other. */
export type Trouble = () => Promise<unknown>;

/**
 * Lets both work on all threads, and so get into each other's way, until every submission is done; then looks at what is stored.
 * Where the store has troubles, processes also stand still for a while, and take threads from each other.
 */
export async function playChaos(
  store: ThreadStore,
  place: DyingPlace,
  cwd: string,
  troubles: readonly Trouble[] = [],
): Promise<Seen> {
  const inputs = 2 + Math.ceil(KILLS / 4);
  const maker = await ThreadManager.create({ store, model: scriptedClient(), config: { cwd } });
  const plan = await Promise.all(
    Array.from({ length: THREADS }, async () => {
      const { threadId } = await maker.startThread();
      return { threadId, ids: Array.from({ length: inputs }, () => newThreadId() as string) };
    }),
  );
  await maker.shutdown();
  await using crew = new Crew(place, cwd, troubles.length > 0 ? "takeOver" : "refuse");
  const working = Promise.all([crew.work(plan), crew.work(plan.toReversed())]);
  const all = troubles.length > 0 ? [...troubles, () => crew.pause()] : [];
  const [, met] = await Promise.all([working, troubled(all, working)]);
  await recoverRest(store, cwd);
  for (const each of plan) assertOnce(await linesOf(store, each.threadId), each.ids);
  for (const each of crew.forks) await assertInherits(store, each);
  return { submissions: THREADS * inputs, forks: crew.forks.length, troubles: met };
}

async function troubled(troubles: readonly Trouble[], working: Promise<unknown>): Promise<number> {
  const over = working.then(
    () => true,
    () => true,
  );
  for (let n = 0; ; n += 1) {
    if (n === KILLS || troubles.length === 0) return n;
    if (await Promise.race([over, delay(300 + Math.random() * 1_000, false)])) return n;
    await troubles[n % troubles.length]?.();
  }
}

class Crew implements AsyncDisposable {
  readonly forks: Fork[] = [];
  readonly #place: DyingPlace;
  readonly #cwd: string;
  readonly #lease: "takeOver" | "refuse";
  readonly #children = new Set<ChildProcess>();
  readonly #until = Date.now() + 120_000 + KILLS * 20_000;
  #kills = 0;
  #isOver = false;

  constructor(place: DyingPlace, cwd: string, lease: "takeOver" | "refuse") {
    this.#place = place;
    this.#cwd = cwd;
    this.#lease = lease;
  }

  /** Nobody is left at work, also where the test has failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    const exits = [...this.#children].map((child) => once(child, "exit"));
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(exits);
  }

  /** One of the processes stands still, and wakes. */
  async pause(): Promise<void> {
    const children = [...this.#children];
    const child = children[Math.floor(Math.random() * children.length)];
    child?.kill("SIGSTOP");
    await delay(Math.random() * 1_500);
    child?.kill("SIGCONT");
  }

  /** One process after another, until one is not killed and gets done. */
  async work(plan: Plan): Promise<void> {
    const { kind, place, schema = "" } = this.#place;
    const args = [
      ...LEASH,
      CHILD,
      kind,
      place,
      schema,
      this.#cwd,
      this.#lease,
      ...plan.map(({ threadId, ids }) => [threadId, ...ids].join(",")),
    ];
    while (!this.#isOver) {
      assert.ok(Date.now() < this.#until, "the submissions never got done");
      const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
      this.#children.add(child);
      const exited = once(child, "exit").finally(() => this.#children.delete(child));
      const isKilled = this.#kills < KILLS;
      this.#kills += 1;
      createInterface({ input: child.stdout }).on("line", (line) => this.#hear(line));
      // Once it is at work, at a moment that nobody chose.
      if (isKilled) {
        await Promise.race([once(child.stdout, "data"), delay(8_000)]);
        await delay(Math.random() * 120);
        child.kill("SIGKILL");
      }
      await exited;
      if (!isKilled && child.exitCode === 0) return;
    }
  }

  /** A line that death cut short says nothing. */
  #hear(line: string): void {
    const [what, fork, of, end] = line.split(" ");
    if (what === "fork" && end === ".") this.forks.push({ fork: fork as ThreadId, of: of as ThreadId });
  }
}

/** Each submission is in the history once, and its turn ended once. */
function assertOnce(lines: readonly RolloutLine[], ids: readonly string[]): void {
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
    const ends = lines.flatMap(({ type, payload }) =>
      type === "event_msg" &&
      Object(payload).turn_id === id &&
      /^(task_complete|turn_aborted)$/.test(Object(payload).type)
        ? [Object(payload).type]
        : [],
    );
    assert.deepEqual(ends, ["task_complete"], id);
  }
}

/** A fork that was told of is there, and begins with what its source had. */
async function assertInherits(store: ThreadStore, { fork, of }: Fork): Promise<void> {
  const base = (await store.header(fork)).history_base?.end_ordinal_exclusive ?? 0;
  assert.ok(base > 0, "it shares its source's lines");
  const source = await linesOf(store, of);
  assert.deepEqual((await linesOf(store, fork)).slice(0, base), source.slice(0, base));
}

/** A server may take a moment to see that a process is dead, whose fork was busy for those who looked meanwhile. */
async function recoverRest(store: ThreadStore, cwd: string): Promise<void> {
  await using manager = await ThreadManager.create({ store, model: scriptedClient(), config: { cwd } });
  const until = Date.now() + 20_000;
  for (let left = await openIn(store); left > 0; left = await openIn(store)) {
    assert.ok(Date.now() < until, `${left} turns are left open`);
    await manager.recoverThreads();
    await delay(50);
  }
}

const openIn = async (store: ThreadStore): Promise<number> =>
  (await store.list({ interrupted: true, limit: 100 })).threads.filter(({ openTurn }) => openTurn !== null).length;
