/** What the words of a command line ask for: a prompt, and maybe a thread to say it to. */
import { UsageError } from "../failure.ts";
import type { ThreadOptions } from "../thread-option.ts";

export type Words = { readonly prompt: string | undefined; readonly thread: ThreadOptions | undefined };

/** Reads `[PROMPT]` and `PROMPT resume ID`. @throws UsageError */
export function readWords(words: readonly string[]): Words {
  const [prompt, second, thread, ...rest] = words;
  if (second === undefined) return { prompt, thread: undefined };
  if (second !== "resume" || rest.length > 0) throw new UsageError("the prompt must be one argument: put it in quotes");
  if (thread === undefined) throw new UsageError("resume: the id of a thread is missing");
  return { prompt, thread: { thread } };
}

/** With `--last` the first word is the prompt. @throws UsageError */
export function resumedBy(
  { thread, prompt }: Partial<Record<"thread" | "prompt", string | undefined>>,
  options: ThreadOptions,
): Words {
  const { last, all, cd } = options;
  if (last !== true) {
    if (thread === undefined) throw new UsageError("resume: the id of a thread is missing; --last takes the newest");
    return { prompt, thread: { thread } };
  }
  if (prompt !== undefined)
    throw new UsageError("resume --last: the prompt must be one argument, and no thread is named");
  return { prompt: thread, thread: { last, all, cd } };
}
