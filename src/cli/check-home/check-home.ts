import { relative } from "node:path";
import { repairHome } from "../../store/file/care/repair.ts";
import { type Fault, type VerifyReport, verifyHome } from "../../store/file/care/verify.ts";
import { assertFiles, storeUrlOf } from "../database.ts";
import { EXIT, Exit } from "../failure.ts";
import { type HomeOption, homeOf } from "../home.ts";
import { Interruption } from "../interruption.ts";
import { drained, type Io } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { Progress } from "../terminal/progress.ts";
import { type Paint, paintFor } from "../terminal/style.ts";
import { oneLine } from "../terminal/text-width.ts";

type Options = HomeOption & { readonly json?: boolean };

export async function verify(options: Options, io: Io): Promise<void> {
  const url = storeUrlOf(options, io);
  if (url !== undefined) {
    const { verifyStore } = await import("./check-database.ts");
    return verifyStore(url, options, io);
  }
  const report = await watched(options, io, verifyHome);
  const out = new LineWriter(io.stdout);
  const paint = paintFor(io.stdout);
  if (options.json) out.json(report);
  else {
    for (const fault of report.faults) out.line(faultLine(fault, report.home, paint));
    out.line(verdictOf(report));
  }
  out.flush();
  await drained(io.stdout);
  if (report.faults.length > 0) throw new Exit(EXIT.failed);
}

export async function repair(options: Options, io: Io): Promise<void> {
  assertFiles("`skein repair` mends rollout files", options, io);
  const report = await watched(options, io, repairHome);
  const { mended, left, kept, after } = report;
  const out = new LineWriter(io.stdout);
  const paint = paintFor(io.stdout);
  if (options.json) out.json(report);
  else {
    for (const fault of mended) out.line(`${paint("green", "mended")}  ${faultLine(fault, after.home, paint)}`);
    for (const fault of left) out.line(`${paint("red", "left")}    ${faultLine(fault, after.home, paint)}`);
    for (const path of kept) out.line(`${paint("dim", "kept")}    ${relative(after.home, path)}`);
    out.line(`${mended.length} mended, ${left.length} left; ${verdictOf(after)}`);
  }
  out.flush();
  await drained(io.stdout);
  if (left.length > 0) throw new Exit(EXIT.failed);
}

type Work<T> = (options: {
  home: string;
  signal: AbortSignal;
  onProgress: (progress: { readonly files: number; readonly faults: number }) => void;
}) => Promise<T>;

/** Does the work with its progress shown; Ctrl-C ends it. */
async function watched<T>(options: Options, io: Io, work: Work<T>): Promise<T> {
  using interruption = new Interruption();
  using progress = new Progress(io);
  try {
    return await work({
      home: homeOf(options, io),
      signal: interruption.signal,
      onProgress: ({ files, faults }) =>
        progress.show(() => `${files.toLocaleString("en")} files read, ${faults.toLocaleString("en")} faults`),
    });
  } catch (error) {
    interruption.throwIfInterrupted();
    throw error;
  }
}

function faultLine({ kind, path, offset, detail }: Fault, home: string, paint: Paint): string {
  const place = offset === null ? "" : ` at byte ${offset}`;
  return `${paint("yellow", kind)}  ${relative(home, path)}${place}: ${oneLine(detail)}`;
}

function verdictOf({ home, files, lines, bytes, faults }: VerifyReport): string {
  const read = `${files.toLocaleString("en")} files, ${lines.toLocaleString("en")} lines, ${bytes.toLocaleString("en")} bytes`;
  const verdict = faults.length === 0 ? "no faults" : `${faults.length.toLocaleString("en")} faults`;
  return `${home}: ${verdict} in ${read}`;
}
