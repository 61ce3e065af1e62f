/** How a command asks for a thread. What finds it is loaded when the command runs: see thread-locator.ts. */
import type { Command } from "commander";

/** What names a thread, and where it is looked for. */
export type ThreadOptions = {
  readonly home?: string;
  readonly store?: string;
  /** An id, the beginning of one, a name, or the path of a rollout file. */
  readonly thread?: string | undefined;
  /** The one that was used last, of this folder. */
  readonly last?: boolean | undefined;
  /** With `last`: of any folder. */
  readonly all?: boolean | undefined;
  /** With `last`: of those that are put away. */
  readonly archived?: boolean;
  readonly cd?: string | undefined;
};

export const THREAD_HELP = "the thread's id or the beginning of it, its name, or the path of its rollout file";
export const LAST_HELP = "the thread that was used last in this folder";
export const ALL_HELP = "with --last: in any folder";

/** The argument that names a thread, with the options that stand for it. */
export const withThread = (command: Command): Command =>
  command.argument("[thread]", THREAD_HELP).option("--last", LAST_HELP).option("--all", ALL_HELP);
