/**
 * Recorded sessions of stock Codex 0.87, played against our server: all of v1, and of v2 the rollbacks that are kept for
 * older clients. The differences are those of PROTOCOL.md.
 */
import { test } from "node:test";
import { SUMMARY_PREFIX } from "../../src/turn/compaction.ts";
import { answer, answerWith, calling, customCalling, hanging, lastUserText, type Play, saying } from "./model-plays.ts";
import { ANSWERED, replay, type Scenario } from "./replay.ts";
import type { Json, Message } from "./test-client.ts";

/** Turn ids are UUIDs here and numbers there, and 0.169 puts the last message into the end of a turn. */
function unseen(key: string, place: string): boolean {
  if (["turn_id", "turnId", "model_context_window", "duration", "timestamp"].includes(key)) return true;
  if (key === "id") return /\.(turn|turns\[\d+\]|turns\[\d+\]\.items\[\d+\])$/.test(place);
  return key === "items" && place.endsWith(".turn");
}

const eventOf = ({ method, params }: Message): Json => (method?.startsWith("codex/event/") ? params.msg : undefined);

/** A patch says its output line by line, and its diff once. */
const PATCH_ECHOES = new Set([
  "codex/event/turn_diff",
  "codex/event/exec_command_output_delta",
  "item/fileChange/outputDelta",
]);

/** Initial contexts come with the first turn, and 0.87's texts of them are not in the recording. */
function isContext(message: Message): boolean {
  const msg = eventOf(message);
  return msg?.type === "raw_response_item" && isContextItem(msg.item);
}

/** When the start of no MCP servers is told is a race in 0.87. */
function retell(story: readonly Message[]): readonly Message[] {
  const isStart = ({ method }: Message) => method === "codex/event/mcp_startup_complete";
  const told = story.filter((message) => !PATCH_ECHOES.has(message.method ?? "") && !isContext(message));
  return [...told.filter(isStart), ...told.filter((message) => !isStart(message)).map(withoutDecline)];
}

/** What was declined is told so, where 0.87 says `failed` to v1. */
function withoutDecline(message: Message): Message {
  const { method, params } = message;
  if (method !== "item/completed" || params.item.status !== "declined") return message;
  return { ...message, params: { ...params, item: { ...params.item, status: "failed" } } };
}

/** Whether a call begins before its response has been counted is a race in 0.87. */
const TOKENS = new Set(["codex/event/token_count", "thread/tokenUsage/updated", "account/rateLimits/updated"]);

const touching = (name: string, callId: string): Play =>
  answer(calling("shell_command", { command: `touch ${name}` }, { callId }));

const PATCH = answer(
  customCalling("apply_patch", "*** Begin Patch\n*** Add File: p.txt\n+p\n*** End Patch\n", { callId: "cp" }),
);

/** Commands and a patch that need consent, and an interrupt. */
const live = (...commands: readonly Play[]): readonly Play[] => [
  ...commands,
  PATCH,
  answer(saying("patch done")),
  hanging(saying("never finished text").slice(0, 2)),
];

/** Of 0.87's context and of ours. */
function isContextItem({ type, role, content }: Json): boolean {
  if (type !== "message" || role === "assistant") return false;
  const text = content.map((part: Json) => part.text ?? "").join("");
  return (
    /^<environment_context>[\s\S]*<shell>/.test(text) ||
    /^# AGENTS\.md instructions for .*\n\n<INSTRUCTIONS>\n## Skills/.test(text)
  );
}

const OWN_PROMPT = "The conversation is about to be shortened";
const isPrompt = (text: string): boolean => text.startsWith(OWN_PROMPT) || text === "Sum it up.";

const shortened = (text: string): string =>
  text.startsWith(OWN_PROMPT) ? "(compaction prompt)" : text.startsWith(SUMMARY_PREFIX) ? "(summary)" : text;

const asked = ({ input }: Json): string[] =>
  input
    .filter((item: Json) => !isContextItem(item))
    .map(({ type, role, content }: Json) =>
      type === "message" ? `${role}: ${shortened(content.map((part: Json) => part.text ?? "").join(""))}` : type,
    );

const V2_TOLD = new Set(["item/started", "item/completed", "item/agentMessage/delta", "turn/completed", "error"]);

/** v2 is spoken as 0.169 does: its threads tell of their status and of compactions as items, and have no `codex/event`. */
const ofV2: Partial<Scenario> = {
  retell: (story) =>
    story.filter(({ method = "", params }) => V2_TOLD.has(method) && params.item?.type !== "contextCompaction"),
};

const compacting: Partial<Scenario> = {
  ...ofV2,
  model: ({ body }) => {
    const text = lastUserText(body);
    return isPrompt(text)
      ? answerWith({ input: 90, output: 10 }, saying("SUMMARY of the talk"))
      : answerWith({ input: 280, output: 40 }, saying(`ack ${text.slice(0, 20)}`));
  },
  unseen: (key, place) => unseen(key, place) || (key === "items" && /\.turns\[\d+\]$/.test(place)),
};

/** A call begins while its answer still streams, so the tokens of that answer may be told before its question or after it. */
function tokensApart(story: readonly Message[]): readonly Message[] {
  const told = retell(story);
  const isOfTokens = ({ method }: Message) => TOKENS.has(method ?? "");
  return [...told.filter((message) => !isOfTokens(message)), ...told.filter(isOfTokens)];
}

const SCENARIOS: Scenario[] = [
  { name: "0.87-v1-conversation" },
  { name: "0.87-v1-conversation-b" },
  {
    name: "0.87-v1-live",
    model: live(
      touching("v0", "c0"),
      answer(saying("after approved")),
      touching("v1", "c1"),
      answer(saying("after denied")),
      touching("v2", "c2"),
    ),
    retell: tokensApart,
  },
  {
    name: "0.87-v1-live-b",
    model: live(
      touching("v0", "c0"),
      answer(saying("after approved_for_session")),
      touching("v1", "c1"),
      answer(saying("after denied")),
    ),
    retell: (story) => retell(story).filter(({ method }) => !TOKENS.has(method ?? "")),
  },
  // Files that another program puts into the home while the server runs are found by its next start.
  // How many models there are is said of later ones.
  {
    name: "0.87-v1-bad-input",
    others: { "0:35": ANSWERED, "0:36": ANSWERED, "0:37": ANSWERED },
    left: ["0:39"],
  },
  { name: "0.87-v1-lists" },
  { name: "0.87-v1-info" },
  { name: "0.87-v1-info-auth", settings: { model_provider: "openai" } },
  { name: "0.87-bad-input" },
  // A fork of a thread that has nothing left has no preview.
  {
    name: "0.87-rollback",
    ...ofV2,
    unseen: (key, place) => unseen(key, place) || (key === "preview" && place.includes("thread/fork")),
  },
  { name: "0.87-turn-boundaries", ...ofV2 },
  { name: "0.87-compaction", ...compacting, settings: { model_auto_compact_token_limit: 200 } },
  {
    name: "0.87-compaction-b",
    ...compacting,
    settings: { model_auto_compact_token_limit: 300, compact_prompt: "Sum it up." },
  },
];

for (const scenario of SCENARIOS) {
  test(`as stock Codex does: ${scenario.name}`, { timeout: 60_000 }, (t) =>
    replay(t, { unseen, retell, asked, ...scenario }),
  );
}
