/** What the demo's agents are asked, and what the scripted model answers. */
import { setImmediate } from "node:timers/promises";
import {
  call,
  type ModelRequest,
  type Play,
  type ResponseItem,
  raw,
  type Step,
  say,
  usage,
  wait,
} from "../../index.ts";

type Scene = { readonly prompt: string; readonly reply: string };

const CAST: readonly { readonly name: string; readonly scenes: readonly Scene[] }[] = [
  {
    name: "lead",
    scenes: [
      {
        prompt: "Plan the flight of our weather balloon.",
        reply: "Three jobs: work out the drive, check the radio, watch the wind. I take the plan, two agents help me.",
      },
      {
        prompt: "Which day shall we fly?",
        reply: "Thursday: the wind turns to the west at dawn and drops below 10 knots until noon.",
      },
      { prompt: "What if it rains?", reply: "Then we wait for the gap at nine, or move the whole plan to Friday." },
    ],
  },
  {
    name: "driver",
    scenes: [
      {
        prompt: "Where do we pick the balloon up?",
        reply: "Near the reservoir, 84 km east, if the wind keeps its word.",
      },
      {
        prompt: "Which road is best?",
        reply: "The valley road: longer on the map, but no tunnel, so the tracker stays in sight.",
      },
      { prompt: "What do we bring?", reply: "A ladder, two radios, the spare antenna and a thermos of tea." },
    ],
  },
  {
    name: "radio",
    scenes: [
      {
        prompt: "Check the tracker.",
        reply: "It answers on 434.2 MHz, position every five seconds, battery at 92 percent.",
      },
      {
        prompt: "And the backup?",
        reply: "The backup beacon is silent until 2,000 m, as it should be. I tested it twice.",
      },
      {
        prompt: "How far does it reach?",
        reply: "At 30 km of altitude about 600 km; on the ground 3 km, if no hill is in between.",
      },
    ],
  },
  {
    name: "writer",
    scenes: [
      {
        prompt: "Write a line for the logbook.",
        reply: "Flight 12: one balloon, five agents, and nobody had to shout.",
      },
      { prompt: "Make it shorter.", reply: "Flight 12: up, and back." },
      {
        prompt: "Now for the children's page.",
        reply: "Today a balloon went higher than any bird, and waved at us all the way.",
      },
    ],
  },
  {
    name: "scout",
    scenes: [
      {
        prompt: "How is the sky in the west?",
        reply: "Clear to the horizon, a few feather clouds far up, nothing that brings rain.",
      },
      { prompt: "And the ground?", reply: "Dry grass, a gate that opens, and one curious cow." },
      { prompt: "Anything else?", reply: "No. I am done here; take me off the list when you like." },
    ],
  },
];

/** What the one agent asks the tool for. */
export const TOOL_SCENE = {
  prompt: "How long is the drive, 84 km at 63 km/h?",
  tool: "drive_minutes",
  km: 84,
  kmh: 63,
};
/** A turn that does not end by itself. */
export const ENDLESS_PROMPT = "Count the stars, one by one.";
/** After the fork: what each branch is told. */
export const BRANCH_PROMPTS = { source: "Stay with Thursday.", fork: "Go for Friday instead." };

const REPLIES: ReadonlyMap<string, string> = new Map([
  ...CAST.flatMap(({ scenes }) => scenes.map(({ prompt, reply }) => [prompt, reply] as const)),
  [BRANCH_PROMPTS.source, "Thursday it is. I tell the driver and the radio."],
  [
    BRANCH_PROMPTS.fork,
    "Friday, then: this branch never asked about the day, so all of Thursday stays with the other one.",
  ],
]);

export const nameOf = (index: number): string => CAST[index]?.name ?? `agent-${index + 1}`;

export function promptOf(index: number, turn: number): string {
  const scenes = CAST[index % CAST.length]?.scenes ?? [];
  return scenes[turn % scenes.length]?.prompt ?? "Go on.";
}

/**
 * The script of every agent. Without a pace nothing waits; with one, each word takes so many milliseconds, some agents
 * being a little faster than others.
 */
export function demoScript(paceMs: number): (request: ModelRequest, n: number) => Play {
  return (request, n) => [arrival, ...answerTo(request, paceMs === 0 ? 0 : paceMs + (n % 4) * 9, n)];
}

/** As from a real server, an answer comes through the event loop, so that signals and timers have their turn too. */
const arrival: Step = wait(() => setImmediate());

function answerTo({ input }: ModelRequest, pace: number, n: number): Step[] {
  const last = input.at(-1);
  const prompt = lastUserText(input);
  if (prompt === ENDLESS_PROMPT) return counting(pace, n);
  if (prompt === TOOL_SCENE.prompt && last?.type !== "function_call_output") {
    const { tool, km, kmh } = TOOL_SCENE;
    return [wait(pace * 4), call(tool, { km, kmh }), spent(input, 18)];
  }
  const told = last?.type === "function_call_output" ? String(last.output) : undefined;
  const reply =
    told === undefined
      ? (REPLIES.get(prompt) ?? `ack: ${prompt}`)
      : prompt === TOOL_SCENE.prompt
        ? `About ${told} minutes, plus ten for the gate and the cow.`
        : `The ground station says: ${told.trim().split("\n").at(-1)}`;
  const output = spent(input, reply.split(" ").length);
  return pace === 0 ? [say(reply), output] : [wait(pace * 6), ...slowly(reply, pace, n), output];
}

const spent = (input: readonly ResponseItem[], output: number): Step =>
  usage({ input_tokens: tokensOf(input), output_tokens: output });

/** As `say`, with a wait before each word. */
function slowly(text: string, pace: number, n: number): Step[] {
  const id = `msg_slow_${n}`;
  const words = text.match(/\S+\s*/g) ?? [];
  return [
    raw({ type: "item_added", item: { type: "message", role: "assistant", id, content: [] } }),
    ...words.flatMap((delta) => [wait(pace), raw({ type: "text_delta", delta, itemId: id })]),
    raw({
      type: "item_done",
      item: { type: "message", role: "assistant", id, content: [{ type: "output_text", text }] },
    }),
  ];
}

const NUMBERS = ["One, ", "two, ", "three, ", "four, ", "five, ", "six, ", "seven, ", "eight, ", "nine, ", "ten, "];

/** Some words, and then silence until the turn is interrupted. */
function counting(pace: number, n: number): Step[] {
  const id = `msg_count_${n}`;
  return [
    raw({ type: "item_added", item: { type: "message", role: "assistant", id, content: [] } }),
    ...NUMBERS.flatMap((delta) => [wait(pace * 2), raw({ type: "text_delta", delta, itemId: id })]),
    { step: "hang" },
  ];
}

/** How many words of the endless answer come before it hangs. */
export const COUNTED = NUMBERS.length;

/** What the user has said last. */
export function lastUserText(input: readonly ResponseItem[]): string {
  const message = input.findLast((item) => item.type === "message" && item.role === "user");
  return message === undefined ? "" : textOf(message);
}

const textOf = (item: ResponseItem): string =>
  item.type === "message"
    ? item.content.map((part) => (part.type === "input_text" || part.type === "output_text" ? part.text : "")).join("")
    : "";

/** Roughly what a model would count. */
const tokensOf = (input: readonly ResponseItem[]): number =>
  Math.ceil(input.reduce((chars, item) => chars + textOf(item).length + 16, 0) / 4);
