/** gitDiffToRemote: what a working tree has beyond the nearest commit that a remote has. */
import * as z from "zod";
import { withDeadline } from "../../kernel/cancellation.ts";
import { askGit, askGitForLine, filtersOf, type GitOptions } from "../../services/git.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";

/** For the whole of it; and how many untracked files are shown, and looked at side by side. */
const DEADLINE_MS = 30_000;
const MOST_UNTRACKED = 1_000;
const AT_ONCE = 8;

export const gitDiffMethods = (server: ServerContext): MethodTable => ({
  gitDiffToRemote: method({
    params: z.object({ cwd: text }),
    handle: ({ cwd }, call) => diffOf(server, cwd, call),
  }),
});

type GitDiff = { sha: string; diff: string };

async function diffOf({ manager, clock }: ServerContext, cwd: string, call: Call): Promise<GitDiff> {
  const { environment } = manager;
  const diff = await withDeadline("gitDiffToRemote", (signal) => diffToRemote({ folder: cwd, environment, signal }), {
    deadlineMs: DEADLINE_MS,
    signal: call.signal,
    clock,
  });
  if (diff === undefined) throw invalidRequest(`failed to compute git diff to remote for cwd: ${JSON.stringify(cwd)}`);
  return diff;
}

/** A dirty submodule would be asked by a git of its own, with its own configuration. */
const DIFF = ["diff", "--no-textconv", "--no-ext-diff", "--ignore-submodules=dirty", "--binary"];

/** undefined: there is no repository, or no commit of it that a remote has. */
async function diffToRemote(given: GitOptions): Promise<GitDiff | undefined> {
  const folder = await askGitForLine(["rev-parse", "--show-toplevel"], given);
  if (folder === undefined) return undefined;
  const filters = await filtersOf({ ...given, folder });
  if (filters === undefined) return undefined;
  const options = { ...given, folder, filters };
  const sha = await nearestPushed(options);
  if (sha === undefined) return undefined;
  const tracked = await askGit([...DIFF, sha], options);
  const untracked = await untrackedDiffs(options);
  return tracked === undefined ? undefined : { sha, diff: tracked + untracked };
}

/** Of HEAD's history, the last commit that a remote had when it was last asked. */
async function nearestPushed(options: GitOptions): Promise<string | undefined> {
  const remote = await askGitForLine(["for-each-ref", "--count=1", "refs/remotes"], options);
  if (remote === undefined) return undefined;
  const commits = await askGit(["rev-list", "--boundary", "HEAD", "--not", "--remotes"], options);
  if (commits === undefined) return undefined;
  const lines = commits.split("\n").filter((line) => line !== "");
  if (lines.length === 0) return askGitForLine(["rev-parse", "HEAD"], options);
  const boundary = lines.filter((line) => line.startsWith("-")).map((line) => line.slice(1));
  return boundary.length === 0 ? undefined : askGitForLine(["rev-list", "--max-count=1", ...boundary], options);
}

async function untrackedDiffs(options: GitOptions): Promise<string> {
  const listed = (await askGit(["ls-files", "-z", "--others", "--exclude-standard"], options)) ?? "";
  const paths = listed.split("\0").filter((path) => path !== "");
  const diffs: string[] = [];
  for (let at = 0; at < Math.min(paths.length, MOST_UNTRACKED); at += AT_ONCE) {
    const some = paths.slice(at, Math.min(at + AT_ONCE, MOST_UNTRACKED));
    const ask = (path: string) =>
      askGit([...DIFF, "--no-index", "--", "/dev/null", path], { ...options, codes: [0, 1] });
    diffs.push(...(await Promise.all(some.map(ask))).map((diff) => diff ?? ""));
  }
  return diffs.join("");
}
