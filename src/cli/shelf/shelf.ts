import { describe, EXIT, Exit } from "../failure.ts";
import { type HomeOption, withStore } from "../home.ts";
import { drained, type Io, isTerminal } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { question } from "../terminal/question.ts";
import { threadIdOf } from "../thread-locator.ts";

const DONE = { archive: "archived", unarchive: "unarchived", delete: "deleted" } as const;

type Options = HomeOption & { readonly json?: boolean; readonly yes?: boolean };

/** Does it to each thread; one that cannot be done is told and does not keep the others back. */
export async function shelve(
  verb: keyof typeof DONE,
  texts: readonly string[],
  options: Options,
  io: Io,
): Promise<void> {
  const threads = texts.map(threadIdOf);
  if (verb === "delete" && !(options.yes || (await mayDelete(threads, io)))) throw new Exit(EXIT.failed);
  const out = new LineWriter(io.stdout);
  let failed = false;
  await withStore(options, io, async (store) => {
    for (const threadId of threads) {
      try {
        await store[verb](threadId);
        if (options.json) out.json({ threadId, done: DONE[verb] });
        else out.line(`${DONE[verb]} ${threadId}`);
      } catch (error) {
        failed = true;
        io.stderr.write(`error: ${threadId}: ${describe(error)}\n`);
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
