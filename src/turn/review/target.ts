/** What a review looks at, as clients name it. */
import * as z from "zod";
import { InvalidRequestError } from "../../protocol/errors.ts";

const text = z.string();

/** What a review looks at. */
export type ReviewTarget =
  | { readonly type: "uncommittedChanges" }
  | { readonly type: "baseBranch"; readonly branch: string }
  | { readonly type: "commit"; readonly sha: string; readonly title?: string | null | undefined }
  | { readonly type: "custom"; readonly instructions: string };

export const reviewTargetSchema: z.ZodType<ReviewTarget> = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("uncommittedChanges") }),
  z.looseObject({ type: z.literal("baseBranch"), branch: text }),
  z.looseObject({ type: z.literal("commit"), sha: text, title: text.nullish() }),
  z.looseObject({ type: z.literal("custom"), instructions: text }),
]);

const KINDS = "uncommittedChanges, baseBranch (branch), commit (sha) or custom (instructions)";

/** The part of a target that has to say something and does not; white space says nothing. */
export function emptyPartOf(target: ReviewTarget): "branch" | "sha" | "instructions" | undefined {
  if (target.type === "baseBranch" && target.branch.trim() === "") return "branch";
  if (target.type === "commit" && target.sha.trim() === "") return "sha";
  return target.type === "custom" && target.instructions.trim() === "" ? "instructions" : undefined;
}

/** @throws InvalidRequestError for what is no target, or says nothing */
export function checkTarget(target: unknown): void {
  const read = reviewTargetSchema.safeParse(target);
  if (!read.success) throw new InvalidRequestError(`op review: the target must be ${KINDS}, with what it needs`);
  const empty = emptyPartOf(read.data);
  if (empty !== undefined) throw new InvalidRequestError(`op review: ${empty} must not be empty`);
}

/** How many letters name a commit to a reader. */
const SHORT_SHA = 7;

/** What the user sees of it. */
export function reviewLabel(target: ReviewTarget): string {
  switch (target.type) {
    case "uncommittedChanges":
      return "current changes";
    case "baseBranch":
      return `changes against '${target.branch}'`;
    case "commit": {
      const commit = `commit ${target.sha.slice(0, SHORT_SHA)}`;
      return target.title ? `${commit}: ${target.title}` : commit;
    }
    case "custom":
      return target.instructions.trim();
  }
}
