/** Which process this is, and whether another one still runs, so that a pid that was given out anew deceives nobody. */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

export type ProcessIdentity = {
  readonly pid: number;
  /** The kernel's start time of the process; null where the system does not tell. */
  readonly started: string | null;
  readonly host: string;
  /** Where pids have a meaning: the boot and the pid namespace; null where the system does not tell. */
  readonly realm: string | null;
};

export const thisProcess = (): ProcessIdentity => ({
  pid: process.pid,
  started: readProcess(process.pid)?.started ?? null,
  host: hostname(),
  realm: realm(),
});

/** undefined: it runs where this process cannot see. */
export function isRunning(other: ProcessIdentity): boolean | undefined {
  if (other.host !== hostname() || other.realm !== realm()) return undefined;
  if (other.started === null) return answersSignal(other.pid) ? undefined : false;
  const found = readProcess(other.pid);
  return found !== undefined && found.started === other.started && !found.dead;
}

function readProcess(pid: number): { started: string; dead: boolean } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // The command's name, in parentheses, may hold blanks; state is field 3 and the start time field 22.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { started: fields[19] ?? "", dead: fields[0] === "Z" || fields[0] === "X" };
}

let knownRealm: string | null | undefined;

function realm(): string | null {
  if (knownRealm !== undefined) return knownRealm;
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
    knownRealm = `${boot} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    knownRealm = null;
  }
  return knownRealm;
}

function answersSignal(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
