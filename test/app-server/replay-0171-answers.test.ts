/** Recorded sessions of stock Codex 0.171 about what models answer, played against our server: see replay.ts. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  answer,
  calling,
  closing,
  customCalling,
  failing,
  hanging,
  incomplete,
  inPhase,
  type Play,
  saying,
  searching,
} from "./model-plays.ts";
import { ANSWERED, replay, type Scenario } from "./replay.ts";
import { UNTOLD, withoutUsageAtResume } from "./retellings.ts";
import type { Message } from "./test-client.ts";

const retell = (story: readonly Message[]): Message[] =>
  withoutUsageAtResume(story.filter(({ method = "" }) => !UNTOLD.has(method)));

const refused = (status: number, error: object): Play => ({ status, body: { error } });

const LOOKING = inPhase("commentary", saying("Looking now."));
const NEARLY = inPhase("commentary", saying("Nearly there."));
const FINAL = inPhase("final_answer", saying("Here it is."));
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==",
  "base64",
);

const SCENARIOS: Scenario[] = [
  {
    name: "0.171-answers-phase",
    // A message of an unknown phase, and a refusal, are shown (stock Codex drops them): these turns are left out.
    left: ["0:7", "0:9", "0:10"],
    unseen: (key, place) => place.endsWith("tokenUsage") && key === "total",
    others: { "0:14": ANSWERED, "1:2": ANSWERED },
    model: [
      answer(LOOKING, calling("exec_command", { cmd: "echo Nearly" }, { callId: "call_p" })),
      answer(NEARLY, FINAL),
      answer(FINAL, LOOKING),
      answer(NEARLY),
      answer(inPhase("partial_answer", saying("Nearly there.")), saying("Here it is.")),
      answer(
        searching({ type: "search", query: "weather in Oslo" }),
        searching({ type: "search", query: "weather in Oslo", queries: ["weather in Oslo", "Looking now."] }),
        searching({ type: "open_page", url: "https://example.com/a" }),
        searching({ type: "find_in_page", url: "https://example.com/a", pattern: "rain" }),
        searching({ type: "nonsense" }),
        searching(undefined, "failed"),
        saying("searched"),
      ),
      answer(
        [{ type: "response.strange" }, { type: "response.output_item.done", item: { type: "strange_item", id: "s" } }],
        saying("odd done"),
      ),
      answer(calling("no_such_tool", { a: 1 }, { callId: "call_n" })),
      answer(calling("exec_command", "{bad json", { callId: "call_j" })),
      answer(calling("exec_command", { nope: 1 }, { callId: "call_k" })),
      answer(customCalling("no_such_custom", "x", { callId: "call_c" })),
      answer(saying("tools done")),
      answer(),
    ],
  },
  {
    name: "0.171-answers-incomplete",
    streamRetries: 1,
    // The last response is the one that was cut off (stock Codex counts it in the total alone).
    unseen: (key, place) => place.endsWith("tokenUsage") && key === "last",
    model: [
      undefined,
      incomplete("max_output_tokens", saying("cut by max_output_tokens")),
      incomplete("max_output_tokens", saying("half message").slice(0, 2)),
      incomplete(undefined, saying("cut by undefined")),
      incomplete(undefined, saying("half message").slice(0, 2)),
      incomplete("max_output_tokens", calling("exec_command", { cmd: "echo cut" }, { callId: "call_i" })),
      closing(saying("finished item, no completed")),
      answer(saying("second try")),
      closing(saying("half message").slice(0, 2)),
      answer(saying("second try")),
      closing(),
      closing(),
      closing(),
      answer(saying("after broken")),
      failing("rate_limit_exceeded", "Rate limit reached. Please try again in 0.05s."),
      answer(saying("retry after rate_limit_exceeded")),
      failing("insufficient_quota", "quota"),
      failing("server_is_overloaded", "busy"),
      failing("invalid_prompt", "bad prompt"),
      failing("some_other", "strange"),
      answer(saying("retry after some_other")),
    ],
  },
  {
    name: "0.171-answers-http",
    model: [
      refused(400, { message: "bad param", type: "invalid_request_error" }),
      refused(401, { message: "Incorrect API key" }),
      refused(429, { message: "slow down" }),
      {
        ...refused(429, { type: "usage_limit_reached", message: "limit", plan_type: "plus", resets_at: 1_900_000_000 }),
        headers: {
          "x-codex-primary-used-percent": "100",
          "x-codex-primary-window-minutes": "300",
          "x-codex-primary-reset-at": "1900000000",
        },
      },
      refused(429, { type: "usage_not_included", message: "no" }),
      refused(503, { code: "server_is_overloaded", message: "busy" }),
      refused(500, { message: "boom" }),
    ],
  },
  {
    name: "0.171-answers-images",
    // That a picture was refused is told, and from then on it is left out (stock Codex sends it again).
    retell: (story) => retell(story).filter(({ params }) => !/refused a picture/.test(params?.message ?? "")),
    prepare: async ({ cwd }) => {
      await writeFile(join(cwd, "ok.png"), PNG);
      await writeFile(join(cwd, "bad.png"), PNG.subarray(0, 20));
      await writeFile(join(cwd, "note.txt"), "no picture\n");
    },
    model: ({ body, n }) => {
      const last = JSON.stringify(body.input.at(-1));
      if (last.includes('"view"')) return answer(calling("view_image", { path: "ok.png" }, { callId: "call_v1" }));
      if (last.includes("call_v1"))
        return answer(calling("view_image", { path: "missing.png" }, { callId: "call_v2" }));
      if (last.includes("call_v2")) return answer(saying("viewed"));
      if (n === 15)
        return refused(400, {
          message: "Invalid image in your last message. Please remove it and try again.",
          type: "invalid_request_error",
          param: null,
          code: null,
        });
      return last.includes('"short"') ? hanging(saying("never").slice(0, 2)) : undefined;
    },
  },
];

for (const scenario of SCENARIOS) {
  test(`as stock Codex does: ${scenario.name}`, { timeout: 60_000 }, (t) => replay(t, { retell, ...scenario }));
}
