/** How a check of a home or of a database is shown: its progress while it lasts, then what it has found. */
import { EXIT, Exit } from "../failure.ts";
import { Interruption } from "../interruption.ts";
import { oneLine } from "../terminal/harmless.ts";
import { drained, type Io } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { Progress } from "../terminal/progress.ts";
import { type Paint, paintFor } from "../terminal/style.ts";

type Watch = { readonly signal: AbortSignal; readonly tell: (read: number, faults: number) => void };

const count = (n: number, what: string): string => `${n.toLocaleString("en")} ${what}`;

/** Does the work with its progress shown; Ctrl-C ends it. @param what is read, such as `files` */
export async function watched<T>(what: string, io: Io, work: (watch: Watch) => Promise<T>): Promise<T> {
  using interruption = new Interruption();
  using progress = new Progress(io);
  try {
    return await work({
      signal: interruption.signal,
      tell: (read, faults) => progress.show(() => `${count(read, what)} read, ${count(faults, "faults")}`),
    });
  } catch (error) {
    interruption.throwIfInterrupted();
    throw error;
  }
}

/** @throws Exit (1) where something is wrong */
export async function showReport(
  report: object,
  {
    json = false,
    lines,
    isWrong,
  }: { json?: boolean | undefined; lines: (paint: Paint) => Iterable<string>; isWrong: boolean },
  io: Io,
): Promise<void> {
  const out = new LineWriter(io.stdout);
  if (json) out.json(report);
  else for (const line of lines(paintFor(io.stdout))) out.line(line);
  out.flush();
  await drained(io.stdout);
  if (isWrong) throw new Exit(EXIT.failed);
}

/** @param place where the fault is */
export const faultLine = ({ kind, detail }: { kind: string; detail: string }, place: string, paint: Paint): string =>
  `${paint("yellow", kind)}  ${place}: ${oneLine(detail)}`;

/** @param what was read, such as `3 files` */
export const verdictOf = (
  place: string,
  what: [read: number, what: string],
  { lines, bytes, faults }: { lines: number; bytes: number; faults: readonly unknown[] },
): string =>
  `${place}: ${faults.length === 0 ? "no faults" : count(faults.length, "faults")} in ${count(...what)}, ${count(lines, "lines")}, ${count(bytes, "bytes")}`;
