/** What the reviewer is told: who it is, and what this review is about. Our own words. */

import { InvalidRequestError } from "../../protocol/errors.ts";
import { askGitForLine, type GitOptions } from "../../services/git.ts";
import type { ReviewTarget } from "./target.ts";

/** The reviewer's instructions. The shape of its answer is Codex's, which clients know. */
export const REVIEWER_INSTRUCTIONS = `You review a change to a code base for the person who wrote it. You change no file.

Report a finding only when all of this holds:
- The change brought it in; what was wrong before is not your matter.
- It affects correctness, security, performance or upkeep in a way that the author would want to mend.
- It is one concrete fault, and you can say under which inputs or in which surroundings it shows. Suspicion is not enough:
  read the code that the change touches until you know.
- It is no matter of taste, unless it breaks a rule that the repository itself states.
Report every such fault, and none where there is none.

For each finding write one short paragraph: what goes wrong, when, and why. Name files and code with backticks; quote at most
three lines. Be plain and helpful, and leave praise out. Keep line ranges as short as they can be, within the change.
Begin each title with its priority: [P0] everything stands still until it is mended, [P1] to be mended next, [P2] to be mended
some day, [P3] nice to have.

Your last message is this JSON and nothing else, without a code fence:
{"findings": [{"title": "[P1] at most 80 letters, in the imperative", "body": "Markdown", "confidence_score": 0.0 to 1.0,
"priority": 0 to 3, "code_location": {"absolute_file_path": "...", "line_range": {"start": 1, "end": 2}}}],
"overall_correctness": "patch is correct" or "patch is incorrect", "overall_explanation": "one to three sentences",
"overall_confidence_score": 0.0 to 1.0}
The patch is correct when existing code and tests go on working with it and it is free of faults that block it.`;

/** What the reviewer is asked. @throws InvalidRequestError outside of a repository, where the target needs one */
export async function reviewPrompt(target: ReviewTarget, git: GitOptions): Promise<string> {
  switch (target.type) {
    case "uncommittedChanges":
      return "Review the changes that are not committed yet: staged, unstaged and untracked files. Report prioritized findings.";
    case "baseBranch":
      return await againstBranch(target.branch.trim(), git);
    case "commit": {
      const title = target.title ? ` ("${target.title}")` : "";
      return `Review the changes that commit ${target.sha}${title} brings in. Report prioritized findings that can be acted on.`;
    }
    case "custom":
      return target.instructions.trim();
  }
}

async function againstBranch(branch: string, git: GitOptions): Promise<string> {
  if ((await askGitForLine(["rev-parse", "--show-toplevel"], git)) === undefined) {
    throw new InvalidRequestError(`${JSON.stringify(git.folder)} is not a git repository`);
  }
  const base = await askGitForLine(["merge-base", "--end-of-options", "HEAD", branch], git);
  const task = `Review the changes against the base branch '${branch}'.`;
  if (base === undefined) {
    return `${task} Its merge base is not known: find the branch or its upstream, take \`git merge-base HEAD\` with it, and inspect \`git diff\` against that commit. Report prioritized findings that can be acted on.`;
  }
  return `${task} The merge base is ${base}: \`git diff ${base}\` shows what would be merged. Report prioritized findings that can be acted on.`;
}
