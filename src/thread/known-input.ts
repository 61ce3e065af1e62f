import { InvalidRequestError } from "../protocol/errors.ts";
import { didYouMean } from "../protocol/nearest-name.ts";
import type { Op } from "../protocol/op.ts";
import { INPUT_KINDS, type UserInput } from "../protocol/user-input.ts";
import { checkTarget } from "../turn/review/target.ts";

/** What `run` is given, as items. @throws InvalidRequestError */
export function runInput(input: string | readonly UserInput[]): UserInput[] {
  if (typeof input === "string") return [{ type: "text", text: input }];
  if (Array.isArray(input)) return [...input];
  throw new InvalidRequestError('run: give a text, or an array of input items such as { type: "text", text }');
}

/** @throws InvalidRequestError for input that nobody would read, and a review of nothing: what its sender means would be lost in silence */
export function withKnownInput(op: Op): Op {
  if (op.type === "review") checkTarget(op.review_request.target);
  if (op.type !== "user_input" && op.type !== "user_turn") return op;
  const unknown = op.items.findIndex(({ type }) => !INPUT_KINDS.includes(type));
  if (unknown === -1) return op;
  const type = String(op.items[unknown]?.type);
  throw new InvalidRequestError(
    `op ${op.type}: items[${unknown}].type: \`${type}\` is no kind of input${didYouMean(type, INPUT_KINDS)} (known are ${INPUT_KINDS.join(", ")})`,
  );
}
