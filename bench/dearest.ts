/**
 * Tables of the ten dearest functions of each journey, before and after, between their markers in bench/BENCHMARKS.md, of what
 * `node bench/profile.bench.ts` printed at two commits: `node bench/dearest.ts COMMIT=FILE COMMIT=FILE`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bytesOf, timeOf } from "./units.ts";

const DOC = join(import.meta.dirname, "BENCHMARKS.md");
const MARKED = /(<!-- dearest -->\n)[\s\S]*?(<!-- \/dearest -->)/;

type Summary = { readonly median: number };
type Line = {
  readonly case: string;
  readonly function?: string;
  readonly ownPercent?: Summary;
  readonly cpuUs?: Summary;
  readonly allocatedBytes?: Summary;
};
type Run = { readonly commit: string; readonly lines: readonly Line[] };

function read(named: string): Run {
  const [commit = "", path = ""] = named.split("=");
  const lines = readFileSync(path, "utf8").split("\n");
  return { commit, lines: lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Line) };
}

const shown = ({ function: name = "", ownPercent }: Line): string =>
  `${name.replaceAll("|", "\\|")} | ${(ownPercent?.median ?? 0).toFixed(1)}`;

function tableOf(journey: string, [before, after]: readonly [Run, Run]): string {
  const of = ({ lines }: Run) => lines.filter((line) => line.case === journey);
  const cost = (run: Run): string => {
    const { cpuUs, allocatedBytes } = of(run).find((line) => line.cpuUs !== undefined) ?? {};
    const what = cpuUs === undefined ? "" : `${timeOf(cpuUs.median)}, ${bytesOf(allocatedBytes?.median ?? 0)}`;
    return `${run.commit}: ${what}`;
  };
  const rows = [before, after].map((run) => of(run).filter((line) => line.function !== undefined));
  const longest = Math.max(...rows.map(({ length }) => length));
  const cells = Array.from({ length: longest }, (_, at) =>
    rows.map((own) => (own[at] === undefined ? " | " : shown(own[at]))).join(" | "),
  );
  return [
    `| ${journey} | | | |\n|---|---|---|---|`,
    `| **${cost(before)}** | % | **${cost(after)}** | % |`,
    ...cells.map((cell) => `| ${cell} |`),
  ].join("\n");
}

const [first = "", second = ""] = process.argv.slice(2);
const runs = [read(first), read(second)] as const;
const journeys = [...new Set(runs[1].lines.map((line) => line.case))];
const doc = readFileSync(DOC, "utf8");
if (!MARKED.test(doc)) throw new Error("BENCHMARKS.md has no place for the dearest functions");
const text = journeys.map((journey) => tableOf(journey, runs)).join("\n\n");
writeFileSync(
  DOC,
  doc.replace(MARKED, (_, begin: string, end: string) => `${begin}${text}\n${end}`),
);
