/** What a review looks at, as clients name it. */
import * as z from "zod";

const text = z.string();

export const reviewTargetSchema = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("uncommittedChanges") }),
  z.looseObject({ type: z.literal("baseBranch"), branch: text }),
  z.looseObject({ type: z.literal("commit"), sha: text, title: text.nullish() }),
  z.looseObject({ type: z.literal("custom"), instructions: text }),
]);

export type ReviewTarget = z.infer<typeof reviewTargetSchema>;

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
