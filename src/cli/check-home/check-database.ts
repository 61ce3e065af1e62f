/** `skein verify` where threads lie in a database. */
import type { DatabaseFault } from "../../store/postgres/postgres-store.ts";
import { openDatabase } from "../database.ts";
import type { Io } from "../terminal/io.ts";
import { faultLine, showReport, verdictOf, watched } from "./check-report.ts";

export async function verifyStore(url: string, { json }: { readonly json?: boolean }, io: Io): Promise<void> {
  const report = await watched("threads", io, async ({ signal, tell }) => {
    const store = await openDatabase(url);
    try {
      return await store.verify({ signal, onProgress: ({ threads, faults }) => tell(threads, faults) });
    } finally {
      await store.close();
    }
  });
  const { faults, schema, threads } = report;
  await showReport(
    report,
    {
      json,
      lines: (paint) => [
        ...faults.map((fault) => faultLine(fault, placeOf(fault), paint)),
        verdictOf(`schema ${schema}`, [threads, "threads"], report),
      ],
      isWrong: faults.length > 0,
    },
    io,
  );
}

const placeOf = ({ threadId, ordinal }: DatabaseFault): string =>
  ordinal === null ? threadId : `${threadId} at line ${ordinal}`;
