/**
 * Asks git, as a child process, about a folder. Nothing of the repository is changed, and none of its programs is run: git
 * is the system's own, is told to run nothing, and sees the disk through a read-only sandbox where there is one, as a
 * command of an agent's would.
 */
import { lstat, readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import { systemClock } from "../kernel/clock.ts";
import type { Launch } from "../process/launch.ts";
import { ProcessGroup } from "../process/process-group.ts";
import { confine } from "../process/sandbox/confine.ts";
import { HeldFolders } from "../process/sandbox/held-folders.ts";
import { trustedProgram } from "../process/trusted-program.ts";
import { SandboxUnavailableError } from "../protocol/errors.ts";

export type GitOptions = {
  /** Where git is asked. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Exit codes that are no failure; 0 unless given. */
  readonly codes?: readonly number[];
  /** Filters of the repository's configuration, which are then not run. */
  readonly filters?: readonly string[];
};

const OFF: readonly (readonly [key: string, value: string])[] = [
  ["core.fsmonitor", "false"],
  ["core.hooksPath", "/dev/null"],
  ["core.attributesFile", "/dev/null"],
  ["core.pager", "cat"],
  ["core.askPass", ""],
  ["core.sshCommand", "false"],
  ["credential.helper", ""],
  ["diff.external", ""],
  // A repository may name programs as remotes (`ext::`), from which what is missing would be fetched.
  ["protocol.allow", "never"],
];

/** No lock is taken, and nothing is started. */
const QUIET = ["--no-optional-locks", "--no-pager"];
const MOST_BYTES = 64 * 1024 * 1024;

const filtersOff = (names: readonly string[]): [string, string][] =>
  names.flatMap((name) => [
    [`filter.${name}.clean`, ""],
    [`filter.${name}.smudge`, ""],
    [`filter.${name}.process`, ""],
    [`filter.${name}.required`, "false"],
  ]);

/** By variables rather than `-c`, which would cut a key at its first `=`. */
const settings = (pairs: readonly (readonly [key: string, value: string])[]): Record<string, string> => ({
  GIT_CONFIG_COUNT: String(pairs.length),
  ...Object.fromEntries(
    pairs.flatMap(([key, value], index) => [
      [`GIT_CONFIG_KEY_${index}`, key],
      [`GIT_CONFIG_VALUE_${index}`, value],
    ]),
  ),
});

/** The user's own settings count; the machine's, and what points git at another repository, do not. */
const variablesOf = ({ environment: { HOME, XDG_CONFIG_HOME }, filters = [] }: GitOptions): Record<string, string> => ({
  ...settings([...OFF, ...filtersOff(filters)]),
  ...(HOME !== undefined && { HOME }),
  ...(XDG_CONFIG_HOME !== undefined && { XDG_CONFIG_HOME }),
  PATH: "/usr/bin:/bin",
  LC_ALL: "C",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_NO_LAZY_FETCH: "1",
  GIT_TERMINAL_PROMPT: "0",
});

/** @throws SandboxUnavailableError when there is no git that can be trusted */
async function gitLaunch(args: readonly string[], options: GitOptions): Promise<Launch> {
  const { folder, environment } = options;
  const found = await trustedProgram("git", { explicit: environment.SKEIN_GIT || undefined });
  if ("reason" in found) throw new SandboxUnavailableError(`there is no git here: ${found.reason}`);
  const argv = [found.path, ...QUIET, "-C", resolve(folder), ...args];
  const env = variablesOf(options);
  const place = { policy: { type: "read-only" as const }, cwd: "/", environment };
  try {
    return await confine({ argv, workdir: "/", env }, { ...place, profile: "strict", folders: new HeldFolders() });
  } catch (error) {
    // Without a sandbox the settings above are what keeps the repository's programs from running.
    if (error instanceof SandboxUnavailableError) return { argv, cwd: "/", env };
    throw error;
  }
}

export type RunningGit = { readonly stdout: Readable; readonly ended: Promise<number | null>; kill(): void };

/** A git that runs; it ends when the signal fires. @throws SandboxUnavailableError when there is none; the signal's reason */
export async function startGit(args: readonly string[], options: GitOptions): Promise<RunningGit> {
  const { signal } = options;
  const launch = await gitLaunch(args, options);
  if (signal.aborted) {
    launch.release?.();
    throw signal.reason;
  }
  const group = new ProcessGroup(launch, { clock: systemClock });
  const kill = () => group.kill();
  signal.addEventListener("abort", kill, { once: true });
  const { child } = group;
  child.stderr?.resume();
  const ended = new Promise<number | null>((resolve) => {
    child.once("error", () => resolve(null));
    child.once("close", resolve);
  });
  void ended.then(() => signal.removeEventListener("abort", kill));
  return { stdout: child.stdout ?? new PassThrough().end(), ended, kill };
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
  const git = await startGit(args, options).catch((error: unknown) => {
    if (error instanceof SandboxUnavailableError) return undefined;
    throw error;
  });
  if (git === undefined) return undefined;
  const chunks: Buffer[] = [];
  let bytes = 0;
  git.stdout.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) git.kill();
    else chunks.push(chunk);
  });
  const code = await git.ended;
  signal.throwIfAborted();
  return code !== null && codes.includes(code) && bytes <= MOST_BYTES
    ? Buffer.concat(chunks).toString("utf8")
    : undefined;
}

/** The names of the filters that the configuration has: programs that git would run on files to compare them. */
export async function filtersOf(options: GitOptions): Promise<string[] | undefined> {
  const listed = await askGit(["config", "--null", "--name-only", "--get-regexp", "^filter\\..*\\."], {
    ...options,
    codes: [0, 1],
  });
  const names = listed?.split("\0").flatMap((key) => /^filter\.(?<name>.*)\.[^.]*$/s.exec(key)?.groups?.name ?? []);
  return names === undefined ? undefined : [...new Set(names)];
}

/** The one line that git prints, without its end. */
export const askGitForLine = async (args: readonly string[], options: GitOptions): Promise<string | undefined> =>
  (await askGit(args, options))?.trimEnd() || undefined;

/**
 * The folders from `cwd` up to the root of its repository, nearest first; outside a repository `cwd` alone. A repository's
 * root is the nearest folder that holds `.git`; an empty folder of that name, as a sandbox may hold one, makes none.
 */
export async function foldersUpToRepository(cwd: string): Promise<string[]> {
  const folders = ancestorsOf(cwd);
  const marked = await Promise.all(folders.map((folder) => isRepository(join(folder, ".git"))));
  const root = marked.indexOf(true);
  return root === -1 ? [cwd] : folders.slice(0, root + 1);
}

function ancestorsOf(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...ancestorsOf(above)];
}

async function isRepository(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isDirectory() !== true) return found !== undefined;
  const names = await readdir(path).catch(() => ["unreadable"]);
  return names.length > 0;
}
