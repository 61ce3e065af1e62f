/** Recorded sessions of stock Codex 0.171 with collaboration modes, played against our server: see replay.ts. */
import { test } from "node:test";
import { answer, calling, type ModelScript, saying } from "./model-plays.ts";
import { ANSWERED, replay, type Scenario } from "./replay.ts";
import { UNTOLD, withoutUsageAtResume } from "./retellings.ts";
import type { Message } from "./test-client.ts";

const retell = (story: readonly Message[]): Message[] =>
  withoutUsageAtResume(story.filter(({ method = "" }) => !UNTOLD.has(method)));

const question = (...labels: string[]) => ({
  questions: [
    {
      id: "q1",
      header: "Pick",
      question: "Which one?",
      options: labels.map((label, index) => ({ label, description: ["first", "second"][index] })),
    },
  ],
});

const PLANNING: ModelScript = [
  undefined,
  answer(saying("Intro line.\n<proposed_plan>\n# Plan\n- step one\n- step two\n</proposed_plan>\nOutro.")),
  answer(saying("<proposed_plan>\nunclosed plan")),
  answer(calling("request_user_input", question("A (Recommended)", "B"), { callId: "call_q" })),
  answer(saying("thanks")),
  answer(calling("update_plan", { plan: [{ step: "one", status: "in_progress" }] }, { callId: "call_up" })),
  answer(saying("tried")),
  undefined,
  answer(calling("request_user_input", question("A"), { callId: "call_q2" })),
  answer(saying("no ask")),
  answer(
    calling(
      "update_plan",
      { explanation: "why", plan: [{ step: "Which one?", status: "pending" }] },
      { callId: "call_up2" },
    ),
  ),
  answer(saying("planned")),
];

const SCENARIOS: Scenario[] = [
  {
    name: "0.171-plan-mode",
    model: PLANNING,
    // Params may be absent. In the default mode update_plan works here (stock Codex does not offer it to this model).
    others: { "0:3": ANSWERED },
    retell: (story) => retell(story).filter(({ method }) => method !== "turn/plan/updated" && method !== "warning"),
    // Nothing is taken from the stored thread: another model is warned of.
    unseen: (key, place) => /thread\/resume\.result/.test(place) && ["model", "developer_instructions"].includes(key),
  },
];

for (const scenario of SCENARIOS) {
  test(`as stock Codex does: ${scenario.name}`, { timeout: 60_000 }, (t) => replay(t, { retell, ...scenario }));
}
