/** Asks git, as a child process, about a folder. Nothing of the repository is changed, and none of its programs is run. */
import { spawn } from "node:child_process";
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { commandEnvironment } from "../process/clean-environment.ts";

export type GitOptions = {
  /** Where git is asked. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Exit codes that are no failure; 0 unless given. */
  readonly codes?: readonly number[];
};

/** No lock is taken, no monitor or pager started, and no credential asked for. */
const QUIET = ["--no-optional-locks", "-c", "core.fsmonitor=false", "--no-pager"];
const MOST_BYTES = 64 * 1024 * 1024;

/** A git that runs; it ends when the signal fires. Its `error` event must be listened to. */
export function spawnGit(args: readonly string[], { folder, environment, signal }: GitOptions) {
  return spawn("git", [...QUIET, "-C", folder, ...args], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...commandEnvironment(environment), GIT_TERMINAL_PROMPT: "0" },
    signal,
  });
}

/**
 * What git prints; undefined when it fails, is not there, or prints more than 64 MiB.
 * @throws the signal's reason
 */
export async function askGit(args: readonly string[], options: GitOptions): Promise<string | undefined> {
  const { signal, codes = [0] } = options;
  signal.throwIfAborted();
  // No program is started with a NUL in its arguments; there is no such folder either.
  if (options.folder.includes("\0")) return undefined;
  const git = spawnGit(args, options);
  const chunks: Buffer[] = [];
  let bytes = 0;
  git.stdout.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) git.kill();
    else chunks.push(chunk);
  });
  const code = await new Promise<number | null>((resolve) => {
    git.on("error", () => resolve(null));
    git.once("close", resolve);
  });
  signal.throwIfAborted();
  return code !== null && codes.includes(code) && bytes <= MOST_BYTES
    ? Buffer.concat(chunks).toString("utf8")
    : undefined;
}

/** The one line that git prints, without its end. */
export const askGitForLine = async (args: readonly string[], options: GitOptions): Promise<string | undefined> =>
  (await askGit(args, options))?.trimEnd() || undefined;

/**
 * The folders from `cwd` up to the root of its repository, nearest first; outside a repository `cwd` alone. A repository's
 * root is the nearest folder that holds `.git`.
 */
export async function foldersUpToRepository(cwd: string): Promise<string[]> {
  const folders = ancestorsOf(cwd);
  const marked = await Promise.all(folders.map((folder) => exists(join(folder, ".git"))));
  const root = marked.indexOf(true);
  return root === -1 ? [cwd] : folders.slice(0, root + 1);
}

function ancestorsOf(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...ancestorsOf(above)];
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
