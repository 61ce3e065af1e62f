/** What the words of a command line ask for: a prompt, and maybe a thread to say it to. */
import { UsageError } from "../failure.ts";
import type { ThreadOptions } from "../thread-option.ts";

/** The thread to go on with, itself or in a fork of it. */
export type ThreadWanted = ThreadOptions & { readonly isForked?: boolean };

export type Words = { readonly prompt: string | undefined; readonly thread: ThreadWanted | undefined };

type Said = Partial<Record<"thread" | "prompt", string | undefined>>;

/** Reads `[PROMPT]` and `PROMPT resume ID`. @throws UsageError */
export function readWords(words: readonly string[]): Words {
  const [prompt, second, thread, ...rest] = words;
  if (second === undefined) return { prompt, thread: undefined };
  if (second !== "resume" || rest.length > 0) throw new UsageError("the prompt must be one argument: put it in quotes");
  if (thread === undefined) throw new UsageError("resume: the id of a thread is missing");
  return { prompt, thread: { thread } };
}

export const resumedBy = (said: Said, options: ThreadOptions): Words => goneOnWith("resume", said, options);

export function forkedFrom(said: Said, options: ThreadOptions): Words {
  const { prompt, thread } = goneOnWith("fork", said, options);
  return { prompt, thread: { ...thread, isForked: true } };
}

/** With `--last` the first word is the prompt. @throws UsageError */
function goneOnWith(verb: string, { thread, prompt }: Said, { last, all, cd }: ThreadOptions): Words {
  if (last !== true) {
    if (thread === undefined) throw new UsageError(`${verb}: the id of a thread is missing; --last takes the newest`);
    return { prompt, thread: { thread } };
  }
  if (prompt !== undefined)
    throw new UsageError(`${verb} --last: the prompt must be one argument, and no thread is named`);
  return { prompt: thread, thread: { last, all, cd } };
}
