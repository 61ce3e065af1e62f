import type { ThreadId } from "../../index.ts";
import { describe, EXIT, Exit } from "../failure.ts";
import { withStore } from "../home.ts";
import type { HomeOption } from "../home-folder.ts";
import { drained, type Io, isTerminal } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { question } from "../terminal/question.ts";
import { findThreadId } from "../thread-locator.ts";

export type ArchiveOptions = HomeOption & {
  readonly last?: boolean;
  readonly all?: boolean;
  readonly json?: boolean;
  readonly yes?: boolean;
};

const DONE = { archive: "archived", unarchive: "unarchived", delete: "deleted" } as const;

/** Does it to each thread; one that cannot be done is told and does not keep the others back. */
export async function changeArchive(
  verb: keyof typeof DONE,
  texts: readonly string[],
  options: ArchiveOptions,
  io: Io,
): Promise<void> {
  const choices =
    texts.length > 0
      ? texts.map((thread) => ({ thread }))
      : [{ last: options.last, all: options.all, archived: verb === "unarchive" }];
  const out = new LineWriter(io.stdout);
  let failed = false;
  const fail = (thread: string, error: unknown) => {
    failed = true;
    io.stderr.write(`error: ${thread}: ${describe(error)}\n`);
  };
  await withStore(options, io, async (store) => {
    const threads: ThreadId[] = [];
    for (const choice of choices) {
      try {
        threads.push(await findThreadId(choice, store, io));
      } catch (error) {
        if (!("thread" in choice)) throw error;
        fail(choice.thread, error);
      }
    }
    if (verb === "delete" && !(options.yes || (await mayDelete(threads, io)))) throw new Exit(EXIT.failed);
    for (const threadId of threads) {
      try {
        await store[verb](threadId);
        if (options.json) out.json({ threadId, done: DONE[verb] });
        else out.line(`${DONE[verb]} ${threadId}`);
      } catch (error) {
        fail(threadId, error);
      }
    }
  });
  out.flush();
  await drained(io.stdout);
  if (failed) throw new Exit(EXIT.failed);
}

async function mayDelete(threads: readonly string[], io: Io): Promise<boolean> {
  if (!(io.stdin.isTTY && isTerminal(io.stderr, io.env))) return true;
  const what = threads.length === 1 ? `thread ${threads[0]}` : `${threads.length} threads`;
  const answer = await question(`Delete ${what} for good? [y/N] `, io);
  return /^y(es)?$/i.test(answer?.trim() ?? "");
}
