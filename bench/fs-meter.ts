/** Counts what this process does with files, from when it is imported on: before anything that uses them. */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const totals = { fsCalls: 0, bytesWritten: 0, bytesRead: 0 };

type AnyCall = (...args: unknown[]) => unknown;
// Its functions have no type in common, and each is wrapped as it is.
const calls = fs as unknown as Record<string, AnyCall>;

/** What a call moved: its answer where that is a number of bytes. */
const MOVES: Readonly<Record<string, "bytesWritten" | "bytesRead">> = {
  writeSync: "bytesWritten",
  writevSync: "bytesWritten",
  readSync: "bytesRead",
};
const OTHERS = ["openSync", "closeSync", "statSync", "lstatSync", "fstatSync", "linkSync", "unlinkSync", "renameSync"];

for (const name of [
  ...Object.keys(MOVES),
  ...OTHERS,
  "mkdirSync",
  "readdirSync",
  "readFileSync",
  "writeFileSync",
  "fsync",
]) {
  const original = calls[name];
  if (original === undefined) continue;
  calls[name] = (...args) => {
    totals.fsCalls += 1;
    const answer = original.apply(fs, args);
    const kind = MOVES[name];
    if (kind !== undefined && typeof answer === "number") totals[kind] += answer;
    return answer;
  };
}
syncBuiltinESMExports();

/** What was done so far. */
export const fsTotals = (): Readonly<typeof totals> => ({ ...totals });
