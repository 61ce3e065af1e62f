/** Turns, compactions, rollbacks, reverts and forks in any order: what the model is sent is what a list that is copied at each step holds. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import type { PGlite } from "@electric-sql/pglite";
import fc from "fast-check";
import { type ForkAnchor, memoryStore, type Thread, ThreadManager, tool } from "../../src/index.ts";
import type { ModelRequest } from "../../src/model/model-client.ts";
import { call, say } from "../../src/model/script.ts";
import { type ScriptedClient, scriptedClient } from "../../src/model/scripted-client.ts";
import type { ResponseItem } from "../../src/protocol/response-item.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { SUMMARY_PREFIX } from "../../src/turn/compaction.ts";
import { overlaid } from "../rig.ts";
import { TempHome } from "../store/file/temp-home.ts";
import { newPglite, pglitePool } from "../store/postgres/pglite-pool.ts";

type Policy = "never" | "on-request";

/** `thread` and `pick` are taken modulo what there is to choose from. */
type Step =
  | { do: "turn"; thread: number; calls: boolean; policy: Policy }
  | { do: "compact"; thread: number }
  | { do: "rollBack"; thread: number; turns: number }
  | { do: "revert"; thread: number; pick: number }
  | { do: "fork"; thread: number; by: "full" | "message" | "through" | "before"; pick: number }
  | { do: "reload" };

const nat = fc.nat({ max: 7 });
const STEPS: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant("turn" as const),
        thread: nat,
        calls: fc.boolean(),
        policy: fc.constantFrom<Policy[]>("never", "on-request"),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("compact" as const), thread: nat }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("rollBack" as const),
        thread: nat,
        turns: fc.integer({ min: 1, max: 4 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("revert" as const), thread: nat, pick: nat }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("fork" as const),
        thread: nat,
        by: fc.constantFrom("full", "message", "through", "before"),
        pick: nat,
      }),
    },
    { weight: 2, arbitrary: fc.constant<Step>({ do: "reload" }) },
  ),
  { minLength: 4, maxLength: 24 },
);

/** A turn that stands, and what the model knew before and after it. */
type Turn = {
  readonly id: string;
  readonly isCompaction: boolean;
  readonly before: readonly string[];
  readonly after: readonly string[];
};
type Model = { turns: Turn[]; told: readonly string[] };

const isUsers = (text: string): boolean => text.startsWith("user ");

const textOf = (item: ResponseItem): string => {
  if (item.type === "function_call") return "call";
  if (item.type === "function_call_output") return `output ${String(item.output)}`;
  if (item.type !== "message") return item.type;
  const text = item.content.map((part) => ("text" in part ? part.text : "")).join("");
  return text.startsWith(SUMMARY_PREFIX) ? (text.split("\n").at(-1) ?? "") : text;
};

const isContext = (text: string): boolean => text.startsWith("<environment_context>");

/** Without what the program says of the settings. */
const spoken = ({ input }: ModelRequest): string[] => input.map(textOf).filter((text) => !isContext(text));

/** The approval policy as the model was told it last. */
const policyTold = ({ input }: ModelRequest): string | undefined =>
  input
    .map(textOf)
    .filter(isContext)
    .map((text) => /<approval_policy>(.*?)</.exec(text)?.[1])
    .findLast((policy) => policy !== undefined);

const echo = tool({ name: "echo", description: "Says it again.", execute: () => "again" });

class Play {
  readonly #open: () => Promise<ThreadStore>;
  #store: ThreadStore | undefined;
  #manager: ThreadManager | undefined;
  readonly #llm: ScriptedClient;
  readonly #threads = new Map<string, Model>();
  #count = 0;
  #summaries = 0;

  constructor(open: () => Promise<ThreadStore>) {
    this.#open = open;
    this.#llm = scriptedClient(
      ({ input, tools }) => {
        if (tools.length === 0) return [say(`SUM${this.#summaries}`)];
        const last = textOf(input.at(-1) as ResponseItem);
        if (last.startsWith("user call")) return [say("I look"), call("echo", {})];
        return [say(`ok ${last}`)];
      },
      { recordRequests: 1 },
    );
  }

  async begin(): Promise<void> {
    this.#store = await this.#open();
    const config = { cwd: "/work", builtInTools: [] };
    this.#manager = await ThreadManager.create({ store: this.#store, model: this.#llm, tools: [echo], config });
  }

  async end(): Promise<void> {
    await this.#manager?.shutdown();
    await this.#store?.close();
  }

  get #lead(): ThreadManager {
    assert.ok(this.#manager !== undefined);
    return this.#manager;
  }

  async #thread(id: string): Promise<Thread> {
    return (await this.#lead.resumeThread(id as Thread["id"])).thread;
  }

  async #make(model: Model, threadId: string): Promise<void> {
    this.#threads.set(threadId, { ...model });
  }

  async start(): Promise<void> {
    const { thread } = await this.#lead.startThread();
    await this.#make({ turns: [], told: [] }, thread.id);
  }

  async take(step: Step): Promise<void> {
    if (step.do === "reload") {
      await this.end();
      return this.begin();
    }
    const ids = [...this.#threads.keys()];
    const id = ids[step.thread % ids.length] ?? "";
    const model = this.#threads.get(id);
    if (model === undefined) return;
    switch (step.do) {
      case "turn":
        return this.#turn(id, model, step);
      case "compact":
        return this.#compact(id, model);
      case "rollBack": {
        await (await this.#thread(id)).rollback(step.turns);
        const told = withoutLast(model.told, step.turns);
        this.#cut(model, indexOfNthLast(model.turns, step.turns));
        model.told = told;
        return;
      }
      case "revert": {
        const at = step.pick % Math.max(1, model.turns.length);
        const turn = model.turns[at];
        if (turn === undefined) return;
        await (await this.#thread(id)).rollback({ beforeTurn: turn.id });
        this.#cut(model, at);
        return;
      }
      case "fork":
        return this.#fork(id, model, step);
    }
  }

  #cut(model: Model, at: number): void {
    const first = model.turns[at];
    if (first === undefined) return;
    model.told = first.before;
    model.turns = model.turns.slice(0, at);
  }

  async #turn(id: string, model: Model, { calls, policy }: { calls: boolean; policy: Policy }): Promise<void> {
    this.#count += 1;
    const text = `user ${calls ? "call " : ""}${this.#count}`;
    const thread = await this.#thread(id);
    await thread.submit({ type: "override_turn_context", approval_policy: policy });
    const { turnId } = await thread.run(text);
    assert.ok(turnId !== null);
    const heard = calls ? [text, "I look", "call", "output again"] : [text];
    const request = this.#llm.requests.at(-1);
    assert.ok(request !== undefined);
    assert.deepEqual(spoken(request), [...model.told, ...heard]);
    assert.equal(policyTold(request), policy);
    const after = [...model.told, ...heard, `ok ${heard.at(-1)}`];
    model.turns = [...model.turns, { id: turnId, isCompaction: false, before: model.told, after }];
    model.told = after;
  }

  async #compact(id: string, model: Model): Promise<void> {
    this.#summaries += 1;
    const { turnId } = await (await this.#thread(id)).compact();
    assert.ok(turnId !== null);
    const after = [...model.told.filter(isUsers), `SUM${this.#summaries}`];
    model.turns = [...model.turns, { id: turnId, isCompaction: true, before: model.told, after }];
    model.told = after;
  }

  async #fork(id: string, model: Model, { by, pick }: { by: string; pick: number }): Promise<void> {
    const spokenTurns = model.turns.filter(({ isCompaction }) => !isCompaction);
    const turn = (by === "message" ? spokenTurns : model.turns)[pick % Math.max(1, model.turns.length)];
    if (by !== "full" && turn === undefined) return;
    const at: ForkAnchor =
      turn === undefined || by === "full"
        ? "full"
        : by === "through"
          ? { throughTurn: turn.id as never }
          : by === "before"
            ? { beforeTurn: turn.id as never }
            : { beforeUserMessage: spokenTurns.indexOf(turn) };
    const { thread } = await this.#lead.forkThread({ from: id as Thread["id"], at });
    const upTo =
      turn === undefined || by === "full" ? model.turns.length : model.turns.indexOf(turn) + (by === "through" ? 1 : 0);
    const told = turn === undefined || by === "full" ? model.told : by === "through" ? turn.after : turn.before;
    await this.#make({ turns: model.turns.slice(0, upTo), told }, thread.id);
  }
}

/** Where the n-th last turn that a user began stands; with fewer of them, the first of all turns. */
function indexOfNthLast(turns: readonly Turn[], n: number): number {
  let left = n;
  for (let at = turns.length - 1; at >= 0; at -= 1) {
    if (turns[at]?.isCompaction === false) left -= 1;
    if (left === 0) return at;
  }
  return 0;
}

/** Counted in what the model knows, a summary is a message as the user's are (SPEC 6.3); with fewer of them, all from the first on. */
function withoutLast(told: readonly string[], n: number): readonly string[] {
  const places = [...told.keys()].filter((at) => isUsers(told[at] ?? "") || told[at]?.startsWith("SUM"));
  return told.slice(0, places.at(-n) ?? places[0] ?? told.length);
}

async function check(open: () => Promise<ThreadStore>, steps: readonly Step[]): Promise<void> {
  const play = new Play(open);
  await play.begin();
  await play.start();
  for (const step of steps) await play.take(step);
  await play.take({ do: "reload" });
  for (let thread = 0; thread < 8; thread += 1) await play.take({ do: "turn", thread, calls: false, policy: "never" });
  await play.end();
}

suite("what the model is sent, however often turns were taken back", () => {
  test("on the memory store", () =>
    fc.assert(
      fc.asyncProperty(STEPS, async (steps) => {
        const store = memoryStore();
        await check(async () => overlaid(store, { close: async () => {} }), steps);
      }),
      { numRuns: 100 },
    ));

  test("on the file store", () =>
    fc.assert(
      fc.asyncProperty(STEPS, async (steps) => {
        await using home = new TempHome();
        await check(async () => home.open(), steps);
      }),
      { numRuns: 8 },
    ));

  let db: PGlite | undefined;
  after(() => db?.close());
  test("on the postgres store", async () => {
    db = await newPglite();
    const pool = pglitePool(db);
    let schemas = 0;
    await fc.assert(
      fc.asyncProperty(STEPS, async (steps) => {
        schemas += 1;
        const schema = `rollbacks_${schemas}`;
        await check(async () => postgresStore({ pool, schema }), steps);
      }),
      { numRuns: 4, endOnFailure: true },
    );
  });
});
