/** What a piece of work costs a PostgreSQL server, in figures that a busy machine does not change much. */
import { readFileSync } from "node:fs";
import pg from "pg";

const PROGRAMS = ["skein", "bare"];

/** CPU time of a process so far, in milliseconds; NaN where the system does not tell it. */
function cpuMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
  } catch {
    return Number.NaN;
  }
}

/** For each of `count` calls: bytes of the server's log, CPU time of the server's processes for us, and of this one. */
export async function serverCosts(connectionString: string, count: number, work: (n: number) => Promise<unknown>) {
  const admin = new pg.Client({ connectionString });
  await admin.connect();
  const numbers = async (text: string, ...values: unknown[]): Promise<number[]> =>
    (await admin.query<{ n: string }>(text, values)).rows.map(({ n }) => Number(n));
  const wal = async (): Promise<number> =>
    (await numbers("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS n"))[0] ?? Number.NaN;
  const pids = await numbers("SELECT pid AS n FROM pg_stat_activity WHERE application_name = ANY($1)", PROGRAMS);
  const cpu = (): number => pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  const [walBefore, cpuBefore, ownBefore] = [await wal(), cpu(), process.cpuUsage()];
  for (let n = 0; n < count; n += 1) await work(n);
  const { user, system } = process.cpuUsage(ownBefore);
  const costs = {
    walBytes: ((await wal()) - walBefore) / count,
    serverCpuMs: (cpu() - cpuBefore) / count,
    ownCpuMs: (user + system) / 1_000 / count,
  };
  await admin.end();
  return costs;
}
