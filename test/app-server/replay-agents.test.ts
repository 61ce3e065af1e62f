/** Recorded sessions of stock Codex in which a model works with agents, played against our server: see replay.ts. */
import { test } from "node:test";
import { answer, calling, hanging, lastUserText, type ModelScript, type Play, saying } from "./model-plays.ts";
import { replay, type Scenario } from "./replay.ts";
import { withoutArrivals } from "./retellings.ts";
import type { Json, Message } from "./test-client.ts";

type Step = (agent: string) => [tool: string, args: Json];

/** 0.169's. */
const STEPS = {
  spawn: () => ["spawn_agent", { message: "CHILD TASK one" }],
  wait: (agent) => ["wait_agent", { targets: [agent], timeout_ms: 15_000 }],
  send: (agent) => ["send_input", { target: agent, message: "CHILD TASK two" }],
  close: (agent) => ["close_agent", { target: agent }],
  resume: (agent) => ["resume_agent", { id: agent }],
} satisfies Record<string, Step>;

/** 0.87's. */
const COLLAB = {
  spawn: STEPS.spawn,
  wait: (agent) => ["wait", { ids: [agent], timeout_ms: 15_000 }],
  send: (agent) => ["send_input", { id: agent, message: "CHILD TASK two" }],
  close: (agent) => ["close_agent", { id: agent }],
  badid: () => ["send_input", { id: "nope", message: "x" }],
  badwait: () => ["wait", { ids: [] }],
} satisfies Record<string, Step>;

/** The lead takes the steps one by one, under the recording's call ids; its agent answers by itself. */
function working<Name extends string>(
  all: Record<Name, Step>,
  steps: readonly Name[],
  agentPlay: (text: string) => Play = (text) => answer(saying(`child says: ${text}`)),
): ModelScript {
  const namespace = all === COLLAB ? {} : { namespace: "multi_agent_v1" };
  let taken = 0;
  return ({ body }) => {
    const told = JSON.stringify(body.input);
    if (!told.includes("PARENT TASK")) return agentPlay(lastUserText(body));
    const step = steps[taken];
    taken += 1;
    if (step === undefined) return answer(saying("parent finished"));
    const agent = /agent_id\\":\\"([0-9a-f-]{36})/.exec(told)?.[1] ?? "";
    const [tool, args] = all[step](agent);
    return answer(calling(tool, args, { callId: `call_${step}_${taken}`, ...namespace }));
  };
}

/** Told by us less or more often on purpose. */
const UNTOLD = new Set([
  ...["account/rateLimits/updated", "warning", "remoteControl/status/changed", "thread/readState/changed"],
]);

const retell = (story: readonly Message[]): readonly Message[] =>
  withoutArrivals(story.filter(({ method }) => !UNTOLD.has(method ?? "")));

/** Differences on purpose: see PROTOCOL.md. Names are drawn by lot. */
function unseen(key: string, place: string): boolean {
  if (["agent_nickname", "agentNickname"].includes(key)) return true;
  if (place.includes("thread/list.result")) {
    return ["model", "backwardsCursor", "sessionId", "canAcceptDirectInput"].includes(key);
  }
  return place.includes("thread/read") && key === "model";
}

const V2_TOLD = new Set(["item/started", "item/completed", "item/agentMessage/delta", "turn/completed"]);

const SCENARIOS: Scenario[] = [
  {
    name: "0.169-agents",
    model: working(STEPS, ["spawn", "wait", "send", "wait", "close", "resume"]),
  },
  {
    name: "0.169-agents-b",
    model: working(STEPS, ["spawn", "close"], () => hanging([])),
    unseen: (key, place) => unseen(key, place) || (key === "sessionId" && place.includes("thread/read")),
  },
  // v2 is spoken as 0.169 does, turn ids are UUIDs, and agents are not among the user's threads.
  {
    name: "0.87-collab",
    config: "[features]\ncollab = true",
    model: working(COLLAB, ["spawn", "wait", "send", "wait", "close", "badid", "badwait"]),
    left: ["0:5"],
    unseen: (key, place) => key === "turnId" || (/\.turn$/.test(place) && ["id", "items"].includes(key)),
    retell: (story) => story.filter(({ method }) => V2_TOLD.has(method ?? "")),
  },
];

for (const scenario of SCENARIOS) {
  test(`as stock Codex does: ${scenario.name}`, { timeout: 60_000 }, (t) => replay(t, { unseen, retell, ...scenario }));
}
