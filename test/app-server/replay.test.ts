/** Recorded sessions of stock Codex 0.169, played against our server: see replay.ts. */
import { test } from "node:test";
import { answer, calling, failing, hanging, type ModelScript, type Play, saying, thinking } from "./model-plays.ts";
import { ANSWERED, replay, type Scenario } from "./replay.ts";
import { UNTOLD, withoutReloads, withoutUsageAtResume } from "./retellings.ts";
import type { Message } from "./test-client.ts";

/** We tell of it with the first turn, since resuming reads no history. */
const isModelChange = ({ method, params }: Message): boolean =>
  method === "warning" && params.message.includes("was recorded with model");

function retell(story: readonly Message[]): Message[] {
  const told = story.filter((message) => !UNTOLD.has(message.method ?? "") && !isModelChange(message));
  return withoutUsageAtResume(withoutReloads(told));
}

/** Differences on purpose that hold everywhere: see PROTOCOL.md. */
function unseen(key: string, place: string): boolean {
  return place.includes("thread/list.result") && ["forkedFromId", "backwardsCursor"].includes(key);
}

/** Totals count what was spent, reverted turns included. */
const unseenOfSpenders: Scenario["unseen"] = (key, place) =>
  unseen(key, place) || (place.endsWith("tokenUsage") && key === "total");

/** A fork's preview is its source's, also when that message was reverted. */
const unseenAfterRevert: Scenario["unseen"] = (key, place) => unseenOfSpenders(key, place) || key === "preview";

/** What reverted turns have cost is told when the next answer is cut; stock Codex knows nothing then. */
function withoutSpent(story: readonly Message[]): Message[] {
  const told = retell(story);
  const revertedAt = told.findIndex(({ method }) => method === "thread/reverted");
  const cutAt = told.findIndex((message, index) => index > revertedAt && isUsageAtCut(message, told[index + 1]));
  return revertedAt === -1 || cutAt === -1 ? told : told.toSpliced(cutAt, 1);
}

const isUsageAtCut = ({ method }: Message, next: Message | undefined): boolean =>
  method === "thread/tokenUsage/updated" && next?.method === "item/started" && next.params.item.type === "userMessage";

/**
 * Stock Codex copies a legacy rollout with its header, which moves the ids of its turns on, and takes the last of them for
 * interrupted where no end of it is stored.
 */
const unseenOfLegacy: Scenario["unseen"] = (key, place) =>
  unseen(key, place) || (/thread\/fork.result.thread.turns\[\d\]$/.test(place) && ["id", "status"].includes(key));

/** What is left after a compaction is estimated, and the summary's frame is our own. */
const unseenOfCompaction: Scenario["unseen"] = (key, place) =>
  unseen(key, place) || (place.endsWith("tokenUsage.last") && key === "totalTokens");

/** The second turn's requests fail, and from then on the model says `fallback`. */
const broken =
  (failure: Play, times: number): ModelScript =>
  ({ n }) =>
    n === 0 ? undefined : n <= times ? failure : answer(saying("fallback"));

/** A command without a question, then two that are asked about; the last turn's model is not asked again after `cancel`. */
const commands = (first: string, second: string): ModelScript => [
  answer(thinking("**Think** a bit"), calling("exec_command", { cmd: "echo hi from exec" }, { callId: "call_e1" })),
  answer(saying("ran")),
  ...[first, second].flatMap((name) => [
    answer(calling("exec_command", { cmd: `touch ${name}.txt` }, { callId: `call_${name}` })),
    answer(saying(`after ${name}`)),
  ]),
];

/**
 * Methods of v1 and rollbacks are still there; settings are checked first; a turn without input is over at once; and a
 * thread without a turn can be forked and read.
 */
const LEFT_OF_BAD_INPUT = ["7", "8", "9", "21", "38", "40", "42", "43", "44", "59", "60", "61"].map((id) => `0:${id}`);

const SCENARIOS: Scenario[] = [
  { name: "0.169-fork" },
  { name: "0.169-revert", unseen: unseenOfSpenders },
  // The preview of an inline history is its first message; a resume takes no settings from the thread; and a thread that
  // was forked can be deleted.
  {
    name: "0.169-resume",
    others: { "1:18": ANSWERED, "1:23": ANSWERED, "1:24": ANSWERED, "1:27": ANSWERED },
    left: ["1:25"],
  },
  { name: "0.169-ephemeral" },
  { name: "0.169-tool", model: commands("accept", "decline") },
  { name: "0.169-tool-b", model: commands("acceptForSession", "cancel") },
  { name: "0.169-bad-input", left: LEFT_OF_BAD_INPUT },
  { name: "0.169-bad-input-stable", left: LEFT_OF_BAD_INPUT },
  { name: "0.169-errors", model: broken({ status: 500, body: { error: { message: "boom" } } }, 2), streamRetries: 1 },
  {
    name: "0.169-errors-b",
    model: broken(failing("context_length_exceeded", "too long"), 1),
    streamRetries: 1,
    unseen: unseenOfCompaction,
  },
  {
    name: "0.169-steer",
    model: [undefined, hanging(saying("slow part")), undefined, hanging(saying("never ends").slice(0, 2))],
    unseen: unseenAfterRevert,
    retell: withoutSpent,
  },
  {
    name: "0.169-steer-edges",
    model: [
      hanging([...saying("whole one"), ...thinking("think of it").slice(0, 3)]),
      undefined,
      hanging(saying("part of it").slice(0, 2)),
      hanging(saying("second part").slice(0, 2)),
      undefined,
      hanging(saying("part of it").slice(0, 2)),
      hanging([]),
    ],
  },
  {
    name: "0.169-compact-running",
    model: [undefined, hanging(saying("part of it").slice(0, 2)), answer(saying("summary"))],
    unseen: unseenOfCompaction,
  },
  { name: "0.169-interrupt", model: [undefined, hanging(saying("never ends here").slice(0, 3))] },
  { name: "0.169-legacy", unseen: unseenOfLegacy },
  { name: "0.169-legacy-b", unseen: unseenOfLegacy },
  // The items of legacy threads can be listed.
  { name: "0.169-legacy-mode", others: { "0:26": ANSWERED } },
  { name: "0.169-legacy-resume" },
  {
    name: "0.169-compact",
    model: ({ n }) => (n === 4 ? { status: 500, body: { error: { message: "boom" } } } : undefined),
    unseen: unseenOfCompaction,
  },
  {
    // The fork has what the answer has cost already, though its call still runs.
    name: "0.169-interrupt-tool",
    unseen: unseenOfSpenders,
    model: [
      undefined,
      answer(calling("exec_command", { cmd: "sleep 30", yield_time_ms: 25_000 }, { callId: "call_sl" })),
    ],
  },
  {
    name: "0.169-steer-tools",
    model: [
      hanging(calling("exec_command", { cmd: "touch x.txt" }, { callId: "call_a" })),
      undefined,
      answer(calling("exec_command", { cmd: "sleep 1", yield_time_ms: 20_000 }, { callId: "call_b" })),
      undefined,
      hanging(calling("exec_command", { cmd: "sleep 1", yield_time_ms: 20_000 }, { callId: "call_c" })),
    ],
  },
];

for (const scenario of SCENARIOS) {
  test(`as stock Codex does: ${scenario.name}`, { timeout: 60_000 }, (t) => replay(t, { unseen, retell, ...scenario }));
}
