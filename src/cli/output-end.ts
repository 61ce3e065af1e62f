import { EXIT } from "./failure.ts";
import type { Io } from "./terminal/io.ts";

const watchers = new Set<() => void>();

/**
 * Calls `end` when nothing can be written any more: the reader has gone (`skein ... | head`), or the disk is full. It may be
 * called for each write that fails. Until disposed.
 */
export function whenOutputEnds(end: () => void): Disposable {
  watchers.add(end);
  return { [Symbol.dispose]: () => void watchers.delete(end) };
}

/**
 * Once an output fails, what is at work ends in order, so that it is stored, and all else at once. A reader that has gone wants no
 * more, and is no error; whatever else is wrong is one, whatever the command comes to. A terminal that has gone is followed by
 * SIGHUP, which does the same. What is said on standard error beside the output ends nothing where it can't be written: a server
 * works on without its log.
 */
export function endWithOutput({ stdout, stderr }: Io): void {
  let isLost = false;
  stderr.on("error", () => undefined);
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EIO") return;
    if (error.code !== "EPIPE" && !isLost) {
      isLost = true;
      process.once("exit", () => {
        process.exitCode = EXIT.failed;
      });
      stderr.write(`error: the output can't be written: ${error.message}\n`);
    }
    for (const end of watchers) end();
    if (watchers.size === 0) process.exit(EXIT.ok);
  });
}
