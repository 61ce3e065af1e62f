import { Exit } from "../failure.ts";
import { Interruption } from "../interruption.ts";
import type { Io } from "../terminal/io.ts";
import { question } from "../terminal/question.ts";
import type { ThreadOptions } from "../thread-option.ts";
import type { ExecOptions } from "./options.ts";
import { runTurn, type Session, withSession } from "./session.ts";
import { TextView } from "./text-view.ts";

/** Goes on with a thread line by line, until an end of input or Ctrl-C at an empty prompt. */
export async function converse(thread: ThreadOptions | undefined, options: ExecOptions, io: Io): Promise<void> {
  const view = new TextView(io);
  using opening = new Interruption();
  try {
    await withSession(options, { thread, view, signal: opening.signal }, io, async (session) => {
      opening[Symbol.dispose]();
      view.note("a line is a turn; Ctrl-C interrupts it, Ctrl-D leaves");
      while (await exchange(session, view, io));
    });
  } catch (error) {
    if (opening.exitCode !== undefined) throw new Exit(opening.exitCode);
    throw error;
  }
}

/** One prompt and its turn; false when there is nothing more to say. */
async function exchange(session: Session, view: TextView, io: Io): Promise<boolean> {
  using interruption = new Interruption();
  const { signal } = interruption;
  let text: string | undefined;
  try {
    text = await question("> ", io, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (text === undefined) {
    io.stderr.write("\n");
    return false;
  }
  if (text.trim() === "") return true;
  await runTurn(session, { input: [{ type: "text", text }], view, signal }, io);
  return true;
}
