/**
 * Handles of this process that a child would inherit though nobody means it to: those that this process has inherited itself,
 * and the other ends of pseudo-terminals. A folder among them would be a way past every shield.
 */
import { openSync, readdirSync, readFileSync } from "node:fs";

const CLOSE_ON_EXEC = 0o2000000;
const FIRST_FREE = 3;

/** Their numbers, from 3 on. Empty where the system does not tell. */
function leakedHandles(): number[] {
  try {
    return readdirSync("/proc/self/fdinfo")
      .map(Number)
      .filter((number) => number >= FIRST_FREE && isInherited(number));
  } catch {
    return [];
  }
}

function isInherited(number: number): boolean {
  try {
    const flags = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${number}`, "latin1"))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0;
  } catch {
    return false;
  }
}

let nothing: number | undefined;

/**
 * What `spawn` is to be given for the handles from 3 on: those that are meant, and /dev/null over those that are not (an
 * `ignore` does nothing there).
 */
export function handlesFor(meant: readonly number[]): (number | "ignore")[] {
  const stdio: (number | "ignore")[] = [...meant];
  for (const number of leakedHandles()) {
    const index = number - FIRST_FREE;
    if (index < meant.length) continue;
    while (stdio.length < index) stdio.push("ignore");
    nothing ??= openSync("/dev/null", "r+");
    stdio[index] = nothing;
  }
  return stdio;
}
