import { createInterface } from "node:readline/promises";
import type { Io } from "./io.ts";

/** Asks on standard error, and reads one line. undefined at the end of the input; an abort rejects with its reason. */
export async function question(text: string, { stdin, stderr }: Io, signal?: AbortSignal): Promise<string | undefined> {
  const lines = createInterface({ input: stdin, output: stderr });
  // On a terminal readline takes Ctrl-C for itself; it stays a signal of the process.
  lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  const closed = new Promise<undefined>((resolve) => lines.once("close", () => resolve(undefined)));
  try {
    const answer = signal === undefined ? lines.question(text) : lines.question(text, { signal });
    return await Promise.race([answer, closed]);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    lines.close();
  }
}
