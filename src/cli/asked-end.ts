/** That a signal has asked for the process's end. */
import { EXIT, Exit } from "./failure.ts";

/** What each signal makes of the exit code. */
export const SIGNAL_CODES = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated, SIGHUP: EXIT.hungUp } as const;
export const SIGNALS = Object.keys(SIGNAL_CODES) as (keyof typeof SIGNAL_CODES)[];

/** How long an output that nobody reads is waited for by a process that was asked to end. */
const UNREAD_MS = 2_000;

const asked = new AbortController();
let askedCode: number = EXIT.ok;

/** Aborts when a signal asks for the process's end; its reason is the {@link Exit} with that signal's code. */
export const askedToEnd: AbortSignal = asked.signal;

/** A signal has asked for the process's end. */
export function noteSignal(name: keyof typeof SIGNAL_CODES): void {
  askedCode ||= SIGNAL_CODES[name];
  asked.abort(new Exit(askedCode));
}

/** The command is over. What it has written keeps the process until that is read, unless a signal has asked for its end: then it is lost. */
export function endUnread(): void {
  if (asked.signal.aborted) setTimeout(() => process.exit(process.exitCode || askedCode), UNREAD_MS).unref();
}

/** For a command whose reader has said that it is done: what is read no further for so long is lost, and that is a failure. */
export function loseUnread(
  { stdout, stderr }: Readonly<Record<"stdout" | "stderr", NodeJS.WriteStream>>,
  afterMs: number,
): void {
  let left = stdout.writableLength;
  const look = () => {
    if (stdout.writableLength === left) {
      stderr.write(`error: the output was not read: ${left} bytes of it are lost\n`);
      process.exit(process.exitCode || EXIT.failed);
    }
    left = stdout.writableLength;
  };
  setInterval(look, afterMs).unref();
}
