/** `skein verify` where threads lie in a database. */
import type { DatabaseFault, DatabaseReport } from "../../store/postgres/postgres-store.ts";
import { openDatabase } from "../database.ts";
import { EXIT, Exit } from "../failure.ts";
import { Interruption } from "../interruption.ts";
import { drained, type Io } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { Progress } from "../terminal/progress.ts";
import { type Paint, paintFor } from "../terminal/style.ts";
import { oneLine } from "../terminal/text-width.ts";

export async function verifyStore(url: string, { json }: { readonly json?: boolean }, io: Io): Promise<void> {
  const report = await watched(url, io);
  const out = new LineWriter(io.stdout);
  if (json) out.json(report);
  else {
    for (const fault of report.faults) out.line(faultLine(fault, paintFor(io.stdout)));
    out.line(verdictOf(report));
  }
  out.flush();
  await drained(io.stdout);
  if (report.faults.length > 0) throw new Exit(EXIT.failed);
}

async function watched(url: string, io: Io): Promise<DatabaseReport> {
  using interruption = new Interruption();
  using progress = new Progress(io);
  const { signal } = interruption;
  const store = await openDatabase(url);
  try {
    return await store.verify({
      signal,
      onProgress: ({ threads, faults }) =>
        progress.show(() => `${threads.toLocaleString("en")} threads read, ${faults.toLocaleString("en")} faults`),
    });
  } catch (error) {
    interruption.throwIfInterrupted();
    throw error;
  } finally {
    await store.close();
  }
}

function faultLine({ kind, threadId, ordinal, detail }: DatabaseFault, paint: Paint): string {
  const place = ordinal === null ? "" : ` at line ${ordinal}`;
  return `${paint("yellow", kind)}  ${threadId}${place}: ${oneLine(detail)}`;
}

function verdictOf({ schema, threads, lines, bytes, faults }: DatabaseReport): string {
  const read = `${threads.toLocaleString("en")} threads, ${lines.toLocaleString("en")} lines, ${bytes.toLocaleString("en")} bytes`;
  const verdict = faults.length === 0 ? "no faults" : `${faults.length.toLocaleString("en")} faults`;
  return `schema ${schema}: ${verdict} in ${read}`;
}
