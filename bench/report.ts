/**
 * `npm run bench:report`: makes tables of bench/results/latest.json, of those that have to be named, and of peers.json, between the
 * markers of bench/BENCHMARKS.md, and plots beside them.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Chart, type Point, svgOf } from "./chart.ts";
import { caseOf, isSummary, type Line } from "./summary.ts";
import { bytesOf, headingOf, shownAs, timeOf } from "./units.ts";

const FOLDER = import.meta.dirname;
const RESULTS = join(FOLDER, "results");
const DOC = join(FOLDER, "BENCHMARKS.md");

type Results = {
  readonly about: Readonly<Record<string, unknown>>;
  readonly failures: readonly Readonly<Record<string, unknown>>[];
  readonly lines: readonly Line[];
};

function read(name: string): Results | undefined {
  const path = join(RESULTS, name);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Results) : undefined;
}

function latestText({ about, failures, lines }: Results): string {
  const byBench = Map.groupBy(lines, ({ bench }) => String(bench));
  return [
    aboutText(about),
    failedText(failures),
    plots(lines).join("\n"),
    ...[...byBench].map(([bench, own]) => `### ${bench}\n\n${tableOf(own)}`),
  ]
    .filter((text) => text !== "")
    .join("\n\n");
}

function aboutText({ when, minutes, rounds, commit, node, cpu, cores, memoryGiB }: Results["about"]): string {
  const count = rounds === 1 ? "one round" : `${String(rounds)} rounds`;
  return `${String(when).slice(0, 10)}, commit ${String(commit)}, Node ${String(node)}, ${String(cores)} cores (${String(cpu)}), ${String(memoryGiB)} GiB; ${count} in ${String(minutes)} minutes, each sample in a process of its own. Medians, and from the least to the greatest.`;
}

/** A bench that has to be named: what was measured together stands in a table together. */
function namedText(bench: string, { about, failures, lines }: Results): string {
  const tables = Map.groupBy(lines, (line) => metricsOf([line]).join());
  return [
    `### ${bench}`,
    `${aboutText(about)} \`npm run bench -- ${bench}\`.`,
    failedText(failures),
    ...[...tables.values()].map(tableOf),
  ]
    .filter((text) => text !== "")
    .join("\n\n");
}

const metricsOf = (lines: readonly Line[]): string[] => [
  ...new Set(lines.flatMap((line) => Object.keys(line).filter((key) => isSummary(line[key])))),
];

const failedText = (failures: Results["failures"]): string =>
  failures.length === 0
    ? ""
    : `Not measured, or not in every round:\n${failures.map(({ file, round, why }) => `- ${String(file)}, round ${String(round)}: ${String(why)}`).join("\n")}`;

/** A row for each case, a column for each metric that any of them has. */
function tableOf(lines: readonly Line[]): string {
  const metrics = metricsOf(lines);
  const head = `| | ${metrics.map((key) => headingOf(key)).join(" | ")} |\n|---|${metrics.map(() => "---|").join("")}`;
  const rows = lines.map((line) => `| ${nameOf(line)} | ${metrics.map((key) => cellOf(key, line[key])).join(" | ")} |`);
  return [head, ...rows].join("\n");
}

function nameOf(line: Line): string {
  const { bench: _, case: name = "", ...rest } = caseOf(line);
  const facts = Object.entries(rest).map(
    ([key, value]) => `${key} ${typeof value === "number" ? value.toLocaleString("en") : String(value)}`,
  );
  return [String(name), ...facts]
    .filter((part) => part !== "")
    .join(", ")
    .replaceAll("|", "\\|");
}

function cellOf(key: string, value: unknown): string {
  if (!isSummary(value)) return "";
  const { median, min, max, n } = value;
  return n === 1 || min === max
    ? shownAs(key, median)
    : `${shownAs(key, median)} (${shownAs(key, min)} to ${shownAs(key, max)})`;
}

/** Which lines make a plot: of a bench, along a size, with one series for each case. */
type Plan = Pick<Chart, "title" | "along" | "up" | "shown"> & {
  readonly name: string;
  readonly bench: string;
  readonly size: string;
  readonly metric: string;
  readonly cases: readonly string[];
};

const PLANS: readonly Plan[] = [
  {
    ...{ name: "forks", bench: "fork", size: "messages", metric: "us", shown: timeOf, up: "time of a fork" },
    ...{ title: "A fork at the middle", along: "messages of the source" },
    cases: ["by reference, live", "by reference, cold", "parse and rewrite"],
  },
  {
    ...{ name: "resume", bench: "resume", size: "messages", metric: "us", shown: timeOf, up: "time" },
    ...{ title: "Resuming a stored thread", along: "messages of the thread" },
    cases: ["resume to SessionConfigured", "the first turn after it", "JSON.parse of the file"],
  },
  {
    ...{ name: "list", bench: "list", size: "threads", metric: "us", shown: timeOf, up: "time of a page" },
    ...{ title: "Listing threads", along: "stored threads" },
    cases: ["first page", "second page", "search", "readdir of the home"],
  },
  {
    ...{ name: "spawn", bench: "spawn", size: "n", metric: "us", shown: timeOf, up: "time of a start" },
    ...{ title: "Starting a thread in memory", along: "threads kept" },
    cases: ["skein startThread", "an own machine, startThread", "raw XState root", "raw XState child"],
  },
  {
    ...{ name: "memory", bench: "spawn", size: "n", metric: "heapBytes", shown: bytesOf, up: "heap of a thread" },
    ...{ title: "Memory of an idle thread", along: "threads kept" },
    cases: ["skein startThread", "an own machine, startThread", "raw XState root"],
  },
];

/** @returns the images, as Markdown; what has no figures is left out */
function plots(lines: readonly Line[]): string[] {
  return PLANS.flatMap((plan) => {
    const { name, bench, size, metric, cases, title } = plan;
    const series = cases.map((label) => ({
      label,
      points: pointsOf(
        lines.filter((line) => line.bench === bench && line.case === label),
        size,
        metric,
      ),
    }));
    return saved(name, { ...plan, series: series.filter(({ points }) => points.length > 0) }, title);
  });
}

function pointsOf(lines: readonly Line[], size: string, metric: string): Point[] {
  return lines.flatMap((line) => {
    const x = line[size];
    const y = line[metric];
    if (typeof x !== "number" || !isSummary(y) || y.median <= 0) return [];
    return [{ x, y: y.median, min: Math.max(y.min, y.median / 1_000), max: y.max }];
  });
}

function saved(name: string, chart: Chart, title: string): string[] {
  if (chart.series.length === 0) return [];
  writeFileSync(join(RESULTS, `${name}.svg`), svgOf(chart));
  return [`![${title}: ${chart.up} against ${chart.along}](results/${name}.svg)`];
}

function peersText({ about, failures, lines }: Results): string {
  const byPeer = Map.groupBy(lines, ({ peer }) => String(peer));
  const works = [...new Set(lines.toSorted((a, b) => rankOf(a) - rankOf(b)).map(workOf))];
  const own = byPeer.get("skein") ?? [];
  const head = `| | ${works.join(" | ")} |\n|---|${works.map(() => "---|").join("")}`;
  const rows = [...byPeer].map(([peer, told]) => {
    const cells = works.map((work) => {
      const figure = medianOf(told.find((line) => workOf(line) === work));
      if (figure === undefined) return "";
      const ours = medianOf(own.find((line) => workOf(line) === work));
      return peer === "skein" || ours === undefined ? timeOf(figure) : `${timeOf(figure)}, ${timesOf(figure / ours)}`;
    });
    const version = told.find(({ version: known }) => known !== undefined)?.version;
    return `| ${peer} ${String(version ?? "")} | ${cells.join(" | ")} |`;
  });
  const { when, node, cores } = about;
  return [
    "### Beside others",
    `${String(when).slice(0, 10)}, Node ${String(node)}, ${String(cores)} cores, one run, each peer in a process of its own; \`npm run bench:peers\`. The same work for each: make a thread, send a message that a scripted model answers, fork at the middle of so many messages, open a thread of so many messages again and have its history. Median times, and how often Skein's with its file store that is.`,
    [head, ...rows].join("\n"),
    ...["fork", "resume"].flatMap((work) => peerPlot(work, byPeer)),
    failedText(failures.map(({ peer, why }) => ({ file: peer, round: 1, why }))),
  ]
    .filter((text) => text !== "")
    .join("\n\n");
}

const workOf = ({ work, messages }: Line): string =>
  messages === undefined ? String(work) : `${String(work)}, ${Number(messages).toLocaleString("en")} messages`;

const WORKS = ["start", "message", "fork", "resume"];
const rankOf = ({ work, messages }: Line): number =>
  WORKS.indexOf(String(work)) * 1e9 + (typeof messages === "number" ? messages : 0);

const medianOf = (line: Line | undefined): number | undefined => (isSummary(line?.us) ? line.us.median : undefined);

const timesOf = (ratio: number): string =>
  `${ratio >= 10 ? Math.round(ratio).toLocaleString("en") : ratio.toPrecision(2)} ×`;

function peerPlot(work: string, byPeer: ReadonlyMap<string, readonly Line[]>): string[] {
  const series = [...byPeer].map(([label, lines]) => ({
    label,
    points: pointsOf(
      lines.filter((line) => line.work === work),
      "messages",
      "us",
    ),
  }));
  const title = work === "fork" ? "A fork at the middle, beside others" : "Opening a thread again, beside others";
  const chart = { title, along: "messages", up: "time", shown: timeOf };
  return saved(`peers-${work}`, { ...chart, series: series.filter(({ points }) => points.length > 0) }, title);
}

const latest = read("latest.json");
const peers = read("peers.json");
const named = readdirSync(RESULTS)
  .filter((file) => file.endsWith(".json") && file !== "latest.json" && file !== "peers.json")
  .toSorted()
  .map((file) => {
    const results = read(file);
    return results === undefined ? "" : namedText(file.slice(0, -".json".length), results);
  });
const doc = [latest === undefined ? "" : latestText(latest), ...named, peers === undefined ? "" : peersText(peers)]
  .filter((text) => text !== "")
  .join("\n\n");
if (doc === "") throw new Error("there are no results: npm run bench, or npm run bench:peers");
const before = readFileSync(DOC, "utf8");
const MARKED = /(<!-- latest run -->\n)[\s\S]*?(<!-- \/latest run -->)/;
if (!MARKED.test(before)) throw new Error("BENCHMARKS.md has no place for the latest run");
writeFileSync(
  DOC,
  before.replace(MARKED, (_, begin: string, end: string) => `${begin}${doc}\n${end}`),
);
