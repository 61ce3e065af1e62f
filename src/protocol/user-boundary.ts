import type { ContentItem, ResponseItem } from "./response-item.ts";

/** Which version's rule decides. `0.80` holds for 0.87 too (SPEC 6.1); `0.169` is the newer one (SPEC 13.3). */
export type BoundaryRule = "0.80" | "0.169";

/** Excluded by 0.80 when they open the one and only part, exactly as written. */
const OPENING_SOLE_PART = ["# AGENTS.md instructions for ", "<user_instructions>", "<skill"] as const;

/** Excluded by 0.169: start and end of any input_text part, whatever the case; no end means that the start suffices. */
const CONTEXT_FRAGMENTS: readonly (readonly [start: string, end?: string])[] = [
  ["# agents.md instructions", "</instructions>"],
  ["<environment_context>", "</environment_context>"],
  ["<skill>", "</skill>"],
  ["<user_shell_command>", "</user_shell_command>"],
  ["<turn_aborted>", "</turn_aborted>"],
  ["<subagent_notification>", "</subagent_notification>"],
  ['<codex_internal_context source="', "</codex_internal_context>"],
  ["<goal_context>", "</goal_context>"],
  ["<recommended_plugins>", "</recommended_plugins>"],
  ["<hook_prompt", "</hook_prompt>"],
  ["warning: apply_patch was requested via "],
  ["warning: your account was flagged for potentially high-risk cyber activity"],
  ["warning: the maximum number of unified exec processes you can keep open is"],
];

/**
 * Whether an item is a user's message that a turn starts with: forks and rollbacks count these. Context that the
 * program itself put into the history under the user's role is not. Empty messages count. A message that says what its
 * parts are was written under the newer rule, and is judged by it.
 */
export function isUserBoundary(item: ResponseItem, rule: BoundaryRule = "0.80"): boolean {
  if (item.type !== "message" || item.role !== "user") return false;
  const isNewer = rule === "0.169" || item.internal_chat_message_metadata_passthrough?.content_item_kinds !== undefined;
  return isNewer ? !isContext0169(item.content) : !isContext080(item.content);
}

/** A user's message by its role that the program itself has put in, and says so: an interrupt, the end of an agent. */
export const isOwnNote = (item: ResponseItem): boolean =>
  item.type === "message" &&
  item.role === "user" &&
  item.internal_chat_message_metadata_passthrough?.content_item_kinds !== undefined &&
  isContext0169(item.content);

function isContext080(content: readonly ContentItem[]): boolean {
  const [first] = content;
  if (content.length === 1 && first?.type === "input_text") {
    if (OPENING_SOLE_PART.some((opening) => first.text.startsWith(opening))) return true;
  }
  return content.some((part) => {
    if (part.type !== "input_text" && part.type !== "output_text") return false;
    if (startsLike(part.text, "<environment_context>")) return true;
    return part.type === "input_text" && startsLike(part.text, "<user_shell_command>");
  });
}

const isContext0169 = (content: readonly ContentItem[]): boolean =>
  content.some(
    (part) =>
      part.type === "input_text" &&
      CONTEXT_FRAGMENTS.some(
        ([start, end]) => startsLike(part.text, start) && (end === undefined || endsLike(part.text, end)),
      ),
  );

const LEADING = /^\p{White_Space}+/u;
const WHITE = /\p{White_Space}/u;

/** Unicode's White_Space as in Rust, not JavaScript's trim, which differs in U+0085 and U+FEFF. `lower` is lower-case. */
function startsLike(text: string, lower: string): boolean {
  const start = LEADING.exec(text)?.[0].length ?? 0;
  return text.slice(start, start + lower.length).toLowerCase() === lower;
}

/** Only the tail is looked at: a backwards search over a long text's inner white space would be quadratic. */
function endsLike(text: string, lower: string): boolean {
  let end = text.length;
  while (end > 0 && WHITE.test(text.charAt(end - 1))) end -= 1;
  return text.slice(Math.max(0, end - lower.length), end).toLowerCase() === lower;
}
