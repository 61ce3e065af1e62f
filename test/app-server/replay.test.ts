import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { fileStore } from "../../src/store/file-store.ts";
import { type Fixture, type Message, serve } from "./test-client.ts";
import { Comparison, type Row, readTranscript, storiesOf } from "./transcript.ts";

type Scenario = {
  name: string;
  /** Answers that are others on purpose: see PROTOCOL.md, "Differences". */
  others?: Record<string, string>;
  /** Requests that are not made, since stock Codex's own answer leads elsewhere from there. */
  left?: string[];
  /** The scenario reverts turns that have cost something. */
  spends?: boolean;
};

const ANSWERED = "answered";

const SCENARIOS: Scenario[] = [
  { name: "0.169-fork" },
  { name: "0.169-revert", spends: true },
  // The preview of an inline history is its first message; a resume takes no settings from the thread; and a thread that
  // was forked can be deleted.
  {
    name: "0.169-resume",
    others: { "1:18": ANSWERED, "1:23": ANSWERED, "1:24": ANSWERED, "1:27": ANSWERED },
    left: ["25"],
  },
  { name: "0.169-ephemeral" },
  // Methods of v1 and rollbacks are still there; settings are checked first; files that were made for the scenario; and a
  // thread without a turn can be forked and read.
  {
    name: "0.169-bad-input",
    left: ["7", "8", "9", "21", "54", "55", "56", "57", "59", "60", "61"],
  },
];

/** Told by us less or more often on purpose. */
const UNTOLD = new Set(["item/agentMessage/delta", "account/rateLimits/updated", "warning"]);
/** What a request that is not made would have told. */
const LEFT_TOLD = new Set(["deprecationNotice", "thread/status/changed"]);
const isTold = ({ method }: Message): boolean => method !== undefined && !UNTOLD.has(method);

/** A revert reloads the thread in stock Codex, and does not here. */
function withoutReloads(messages: readonly Message[]): Message[] {
  const typeOf = (message: Message | undefined) =>
    message?.method === "thread/status/changed" ? message.params.status.type : undefined;
  return messages.filter((message, index) => {
    const isLeaving = typeOf(message) === "notLoaded" && typeOf(messages[index + 1]) === "idle";
    return !isLeaving && !(typeOf(message) === "idle" && typeOf(messages[index - 1]) === "notLoaded");
  });
}

/** We tell the context's use after a revert too, and after the resume of every fork. */
const withoutEstimates = (messages: readonly Message[]): Message[] =>
  messages.filter(({ method }, index) => {
    const next = messages[index + 1]?.method ?? "";
    return method !== "thread/tokenUsage/updated" || !["thread/reverted", "thread/goal/cleared"].includes(next);
  });

async function start(home: string): Promise<Fixture> {
  const model = scriptedClient();
  const config = {
    cwd: "/tmp/ws",
    model: "gpt-5.1-codex",
    modelProvider: "mock",
    approvalPolicy: "never",
    sandboxMode: "danger-full-access",
  } as const;
  const served = await serve({ manager: { store: fileStore({ home }), model, config }, server: { cwd: "/tmp/ws" } });
  served.client.close();
  return served;
}

for (const { name, others = {}, left = [], spends = false } of SCENARIOS) {
  test(`as stock Codex does: ${name}`, { timeout: 30_000 }, async (t) => {
    const home = await mkdtemp(join(tmpdir(), "skein-replay-"));
    t.after(() => rm(home, { recursive: true, force: true }));
    const rows = readTranscript(name);
    const comparison = new Comparison({ spends });
    let process = 0;
    let isLeft = false;
    let served = await start(home);
    let client = served.connect();
    const theirs: Message[] = [];
    const ours: Message[] = [];
    const compareStories = () => {
      const told = storiesOf(ours.filter(isTold));
      for (const [id, all] of storiesOf(theirs.filter(isTold))) {
        const story = withoutEstimates(withoutReloads(all));
        const own = withoutEstimates(told.get(comparison.ids.get(id) ?? id) ?? []);
        assert.deepEqual(
          own.map(({ method }) => method),
          story.map(({ method }) => method),
          `told of ${id}`,
        );
        for (const [index, each] of story.entries()) {
          comparison.equal(each, own[index], `told of ${id}: ${index} ${each.method}`);
        }
      }
    };
    for (const [index, row] of rows.entries()) {
      if (row.dir === "note" && row.note?.startsWith("--- app-server process")) {
        ours.push(...client.log);
        compareStories();
        theirs.length = 0;
        ours.length = 0;
        await served[Symbol.asyncDispose]();
        served = await start(home);
        client = served.connect();
        process += 1;
      }
      if (row.dir === "out" && row.msg !== undefined && !(isLeft && LEFT_TOLD.has(row.msg.method ?? ""))) {
        theirs.push(row.msg);
      }
      if (row.dir !== "in") continue;
      if (row.msg === undefined) {
        client.raw(row.raw ?? "");
        continue;
      }
      const { id, method } = row.msg;
      isLeft = left.includes(String(id));
      if (isLeft) continue;
      client.send(comparison.translate(row.msg));
      if (id === undefined) continue;
      const answer = await client.find((message) => message.id === id && message.method === undefined);
      const expected = answerTo(rows, index, id);
      const key = `${process}:${id}`;
      if (others[key] !== undefined) {
        assert.equal(answer.error?.message ?? "answered", others[key], `${key} ${method}`);
      } else if (expected !== undefined) {
        comparison.equal(shapeOf(expected), shapeOf(answer), `answer ${key} ${method}`);
      }
      const ends = turnsEnded(rows, index);
      const before = theirs.filter((message) => message.method === "turn/completed").length;
      await client.find(
        () => client.log.filter((message) => message.method === "turn/completed").length >= before + ends,
      );
    }
    ours.push(...client.log);
    compareStories();
    await served[Symbol.asyncDispose]();
  });
}

/** The long list of methods is ours; the rest of an error is compared to the letter, but for our data. */
const shapeOf = ({ result, error }: Message) =>
  error === undefined
    ? { result }
    : {
        error: {
          code: error.code,
          message: /unknown variant|elided/.test(error.message) ? "unknown variant" : error.message,
        },
      };

const answerTo = (rows: readonly Row[], from: number, id: string | number): Message | undefined =>
  rows.slice(from).find(({ dir, msg }) => dir === "out" && msg?.id === id && msg.method === undefined)?.msg;

/** How many turns end before the next request. */
function turnsEnded(rows: readonly Row[], from: number): number {
  const next = rows.findIndex(({ dir, msg }, index) => index > from && dir === "in" && msg?.id !== undefined);
  return rows.slice(from, next === -1 ? undefined : next).filter(({ msg }) => msg?.method === "turn/completed").length;
}
