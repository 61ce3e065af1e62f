/** What a model is told of the mode that it works in. Our own words. */
import type { CollaborationMode, CollaborationModeName } from "../protocol/collaboration-mode.ts";
import { developerMessage, type ResponseItem, textOf } from "../protocol/response-item.ts";

const INSTRUCTIONS: Readonly<Record<CollaborationModeName, string>> = {
  plan: `# Plan mode

You and the user make a plan together. Nothing is changed until the user leaves this mode: read, search and run what changes no file
that the repository keeps, and write, patch or generate nothing. When the user asks you to do the work, plan how it would be done.
The mode changes only when another message like this one says so.

1. Look first. Find out from the code and its configuration what can be found out there, and ask about none of it.
2. Ask what only the user can say: aims, preferences, choices that change the plan. Use \`request_user_input\` for that where it is
   offered: few questions, each with two or three answers to choose from, the one that you would take first and marked
   "(Recommended)".
3. When nothing important is open, propose the plan: what is to be reached, the changes by part, what they mean for interfaces and
   data, how it will be tested, what was assumed. Whoever carries it out should have nothing left to decide.

Write the plan in Markdown, once, between two lines of their own, and tags spelled just so:

<proposed_plan>
# Title
...
</proposed_plan>

Do not ask whether to go ahead: the user is asked when the plan is there. A plan that is changed later is written out whole again.`,
  default: `# Default mode

You do the work now; rules of other modes, such as Plan mode, hold no longer. The mode changes only when another message like this one
says so. Make reasonable assumptions and go on rather than stop to ask; \`request_user_input\` cannot be used in this mode. Where
a question cannot be avoided, ask it plainly in your answer.`,
};

/** What the model is told of a mode. Nobody has chosen: as `default`. */
export const instructionsOf = (mode: CollaborationMode | null): string =>
  mode?.instructions ?? INSTRUCTIONS[mode?.mode ?? "default"];

const OPENING = "<collaboration_mode>";
const CLOSING = "</collaboration_mode>";

/** The message that tells the model of its mode; none where it knows that already. */
export function modeMessages(before: CollaborationMode | null, now: CollaborationMode | null): ResponseItem[] {
  const text = instructionsOf(now);
  return text === instructionsOf(before) ? [] : [developerMessage(`${OPENING}${text}${CLOSING}`)];
}

/** What a message says of the mode: its text is all that counts. undefined: it is about something else. */
export function toldMode(item: ResponseItem): CollaborationMode | undefined {
  const text = item.type === "message" && item.role === "developer" ? textOf(item) : "";
  if (!text.startsWith(OPENING) || !text.endsWith(CLOSING)) return undefined;
  return { mode: "default", instructions: text.slice(OPENING.length, -CLOSING.length) };
}
