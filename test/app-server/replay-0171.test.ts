/** Recorded sessions of stock Codex 0.171, played against our server: see replay.ts. */
import { test } from "node:test";
import { answer, answerWith, calling, hanging, type Play, saying, thinking } from "./model-plays.ts";
import { replay, type Scenario } from "./replay.ts";
import { UNTOLD, withoutReloads, withoutUsageAtResume } from "./retellings.ts";
import type { Message } from "./test-client.ts";

/** Hits are told as they are found, here all of a page; stock Codex tells a few. */
const PARTIAL = "thread/search/partial";

/** Said without content, before or after the answer; and once more after an interrupt by stock Codex. */
const QUEUE = "thread/queue/changed";

const retell = (story: readonly Message[]): Message[] =>
  withoutUsageAtResume(
    withoutReloads(story.filter(({ method = "" }) => !UNTOLD.has(method) && method !== PARTIAL && method !== QUEUE)),
  );

/** Differences on purpose that hold everywhere: see PROTOCOL.md. */
function unseen(key: string, place: string): boolean {
  return /thread\/(list|search\S*)\.result/.test(place) && ["forkedFromId", "backwardsCursor"].includes(key);
}

/** Whether what the last answer has cost counts is a race in stock Codex; seconds are those of the machine's clock. */
const goalUnseen = (key: string, place: string): boolean =>
  unseen(key, place) || key === "tokensUsed" || key === "timeUsedSeconds";

/** A goal that goes on, with what it has cost by now. */
const isCount = ({ method, params }: Message): boolean =>
  method === "thread/goal/updated" && params.turnId !== null && params.goal.status === "active";

const part = (text: string, words: number) => hanging(saying(text).slice(0, words + 1));
const updating = (status: string) => answer(calling("update_goal", { status }, { callId: "call_u" }));
const USAGE_LIMIT: Play = {
  status: 429,
  body: { error: { type: "usage_limit_reached", message: "limit", plan_type: "plus", resets_at: 1_900_000_000 } },
};

const SCENARIOS: Scenario[] = [
  {
    name: "0.171-goal-set",
    unseen: goalUnseen,
    retell: (story) => retell(story).filter((message) => !isCount(message)),
    model: [
      answer(saying("goal answer 1")),
      answer(saying("goal answer 2")),
      answer(calling("get_goal", {}, { callId: "call_g1" })),
      updating("complete"),
      answer(saying("goal done")),
      answer(saying("goal answer 3")),
    ],
  },
  {
    name: "0.171-goal-run",
    unseen: goalUnseen,
    retell: (story) =>
      retell(story).filter((message) => !isCount(message) && message.method !== "account/rateLimits/updated"),
    model: [
      ...["step one", "step two", "step three"].map((text) => answer(saying(text))),
      updating("complete"),
      answer(saying("all done")),
      answerWith({ input: 300, output: 10 }, saying("b1")),
      part("hanging goal turn", 2),
      ...["default", "default", "default"].map((text) => answer(saying(text))),
      part("default goal", 1),
      USAGE_LIMIT,
      answer(calling("create_goal", { objective: "made by the model", token_budget: 1000 }, { callId: "call_c" })),
      answer(saying("created")),
      updating("blocked"),
      answer(saying("over")),
    ],
  },
  {
    name: "0.171-queue",
    model: [
      undefined,
      { ...answer(saying("running").slice(0, 2), saying("running done")), pause: { after: 3, ms: 3_000 } },
      ...[undefined, undefined, undefined, undefined],
      part("hang", 1),
      { status: 500, body: { error: { message: "boom" } } },
      undefined,
      part("hang", 1),
    ],
  },
  { name: "0.171-queue-start", model: [undefined, part("hang", 1), part("started one", 1)] },
  { name: "0.171-search", model: [answer(saying("An answer with needle inside it"))] },
  {
    name: "0.171-timeline",
    // Totals count what was spent, reverted turns included, and the context is estimated anew after a revert.
    unseen: (key, place) => unseen(key, place) || (place.endsWith("tokenUsage") && ["total", "last"].includes(key)),
    model: [
      undefined,
      answer(thinking("**R** text"), calling("exec_command", { cmd: "echo tl" }, { callId: "call_t" })),
      answer(saying("ran")),
      { status: 500, body: { error: { message: "boom" } } },
      undefined,
      hanging(saying("running now").slice(0, 3)),
    ],
  },
  // Params may be absent. Features, models, built-in providers and what one can do are our own.
  {
    name: "0.171-catalogues",
    left: ["3", "4", "5", "8", "19", "20", "21", "33", "34", "36", "44", "48"].map((id) => `0:${id}`),
  },
];

for (const scenario of SCENARIOS) {
  test(`as stock Codex does: ${scenario.name}`, { timeout: 60_000 }, (t) => replay(t, { unseen, retell, ...scenario }));
}
