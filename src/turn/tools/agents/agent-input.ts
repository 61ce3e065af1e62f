/** What an agent is told: a message, or a user's items. */
import * as z from "zod";
import { InvalidRequestError } from "../../../protocol/errors.ts";
import { parseThreadId, type ThreadId, uuidProblem } from "../../../protocol/ids.ts";
import { type UserInput, userInputSchema } from "../../../protocol/user-input.ts";

export const agentInputFields = {
  message: z.string().nullish(),
  items: z.array(userInputSchema).nullish(),
};

/** @throws InvalidRequestError unless there is one of them, with something in it */
export function agentInputOf(given: {
  message?: string | null | undefined;
  items?: UserInput[] | null | undefined;
}): UserInput[] {
  const message = given.message ?? undefined;
  const items = given.items ?? undefined;
  if (message !== undefined && items !== undefined) {
    throw new InvalidRequestError("Provide either message or items, but not both");
  }
  if (items !== undefined) {
    if (items.length === 0) throw new InvalidRequestError("Items can't be empty");
    return items;
  }
  if (message === undefined) throw new InvalidRequestError("Provide one of: message or items");
  if (message.trim() === "") throw new InvalidRequestError("Empty message can't be sent to an agent");
  return [{ type: "text", text: message }];
}

/** How the input is shown beside the call. */
export const previewOf = (input: readonly UserInput[]): string => input.map(shown).join("\n");

function shown(item: UserInput): string {
  if (item.type === "text" && typeof item.text === "string") return item.text;
  if (item.type === "local_image") return `[local_image:${item.path}]`;
  if (item.type === "skill") return `[skill:$${item.name}](${item.path})`;
  if ("name" in item && "path" in item) return `[${item.type}:$${item.name}](${item.path})`;
  return `[${item.type}]`;
}

/** @throws InvalidRequestError with what Codex tells the model of an id that is none */
export function agentIdOf(text: string): ThreadId {
  try {
    return parseThreadId(text);
  } catch {
    throw new InvalidRequestError(`invalid agent id ${text}: Error(${kindOf(text)})`);
  }
}

/** The uuid crate's own notation. */
function kindOf(text: string): string {
  const problem = uuidProblem(text);
  switch (problem.kind) {
    case "character":
      return `ParseChar { character: '${problem.character}', index: ${problem.index} }`;
    case "simpleLength":
      return `ParseSimpleLength { len: ${problem.length} }`;
    case "groupCount":
      return `ParseGroupCount { count: ${problem.count} }`;
    case "groupLength":
      return `ParseGroupLength { group: ${problem.group}, len: ${problem.length}, index: ${problem.index} }`;
  }
}
