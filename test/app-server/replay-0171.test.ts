/** Recorded sessions of stock Codex 0.171, played against our server: see replay.ts. */
import { test } from "node:test";
import { answer, calling, hanging, saying, thinking } from "./model-plays.ts";
import { replay, type Scenario } from "./replay.ts";
import { UNTOLD, withoutReloads } from "./retellings.ts";
import type { Message } from "./test-client.ts";

/** Hits are told as they are found, here all of a page; stock Codex tells a few. */
const PARTIAL = "thread/search/partial";

const retell = (story: readonly Message[]): Message[] =>
  withoutReloads(story.filter(({ method = "" }) => !UNTOLD.has(method) && method !== PARTIAL));

/** Differences on purpose that hold everywhere: see PROTOCOL.md. */
function unseen(key: string, place: string): boolean {
  return /thread\/(list|search\S*)\.result/.test(place) && ["forkedFromId", "backwardsCursor"].includes(key);
}

const SCENARIOS: Scenario[] = [
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
