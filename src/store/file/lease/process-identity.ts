/** Which process this is, and whether another one still runs, so that a pid that was given out anew deceives nobody. */

import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { isAlive } from "../../../process/alive.ts";

export type ProcessIdentity = {
  readonly pid: number;
  /** The kernel's start time of the process; null where the system does not tell. */
  readonly started: string | null;
  readonly host: string;
  /** Where pids have a meaning: the boot and the pid namespace; null where the system does not tell. */
  readonly realm: string | null;
  /** The machine over its boots; null, or absent in what older versions wrote, where the system does not tell. */
  readonly machine?: string | null;
};

export const thisProcess = (): ProcessIdentity => ({
  pid: process.pid,
  started: readProcess(process.pid)?.started ?? null,
  host: hostname(),
  realm: realm(),
  machine: machine(),
});

/**
 * undefined: it runs where this process cannot see. A boot's id is the machine's own, so the realm says more than the host's
 * name, which may change while a process runs; that name counts where there is no realm.
 */
export function isRunning(other: ProcessIdentity): boolean | undefined {
  if (other.realm !== realm()) return hasRebooted(other) ? false : undefined;
  if (other.realm === null && other.host !== hostname()) return undefined;
  if (other.started === null) return isAlive(other.pid) ? undefined : false;
  const found = readProcess(other.pid);
  return found !== undefined && found.started === other.started && !found.dead;
}

/** It ran on this machine before its last start. Images are copied with their machine id, so the name has to agree too. */
function hasRebooted(other: ProcessIdentity): boolean {
  const [theirs, ours] = [bootOf(other.realm), bootOf(realm())];
  const isHere = other.machine != null && other.machine === machine() && other.host === hostname();
  return isHere && theirs !== undefined && ours !== undefined && theirs !== ours;
}

const bootOf = (of: string | null): string | undefined => of?.split(" ")[0];

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

let knownMachine: string | null | undefined;

function machine(): string | null {
  if (knownMachine !== undefined) return knownMachine;
  try {
    knownMachine = readFileSync("/etc/machine-id", "latin1").trim() || null;
  } catch {
    knownMachine = null;
  }
  return knownMachine;
}
