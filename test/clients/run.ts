/**
 * Real clients on stock Codex and on Skein, and one table of what each passes. Not part of `npm test`: installs what it tries
 * from npm into `.cache/`, and skips what cannot be had here. 15 minutes in all; `node test/clients/run.ts NAME ...` takes
 * some: a name below, or the beginning of one.
 */
import { codexBinary } from "../oracle/codex-binary.ts";
import { checkAcp } from "./acp.ts";
import { checkAiSdk } from "./ai-sdk.ts";
import { checkCodexSdk } from "./codex-sdk.ts";
import { checkCommands } from "./commands.ts";
import { checkDoors } from "./doors.ts";
import { checkLines } from "./lines.ts";
import { type Program, SKEIN, STOCK, stockPrograms } from "./program.ts";
import { checkSchemas } from "./schema.ts";
import { checkSchemasOfV1 } from "./schema-v1.ts";
import { checkSlash } from "./slash.ts";
import type { Outcome } from "./step.ts";
import { hasTmux } from "./tmux.ts";
import { checkTui } from "./tui.ts";
import { checkTwoTuis } from "./two-tuis.ts";

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** undefined: its client cannot be had here. */
type Suite = (program: Program) => Promise<Outcome[] | undefined>;
type Check = () => Promise<string[] | undefined>;

/** A suite that a stock TUI of this version runs, in a terminal. */
const inTerminal =
  (version: string, run: (program: Program, binary: string) => Promise<Outcome[]>): Suite =>
  async (program) => {
    const binary = codexBinary(version);
    return binary === undefined || !hasTmux() ? undefined : await run(program, binary);
  };

const forEachTui = (name: string, run: (program: Program, binary: string) => Promise<Outcome[]>): [string, Suite][] =>
  STOCK.map((version) => [`${name}-${version.slice(0, -2)}`, inTerminal(version, run)]);

async function checkBoth(program: Program): Promise<Outcome[] | undefined> {
  const [older, newer] = STOCK.map(codexBinary);
  if (older === undefined || newer === undefined || !hasTmux()) return undefined;
  return await checkTwoTuis(program, [older, newer]);
}

function slash(version: string): [string, Suite] {
  let tried: ReturnType<typeof checkSlash> | undefined;
  const own = stockPrograms().find(({ name }) => name.endsWith(version)) ?? SKEIN;
  return [
    `slash-${version.slice(0, -2)}`,
    inTerminal(version, async (program, binary) => {
      tried ??= checkSlash(binary, own, SKEIN);
      return (await tried).get(program.name) ?? [];
    }),
  ];
}

const SUITES = new Map<string, Suite>([
  ["doors", checkDoors],
  ["lines", checkLines],
  ["ai-sdk", checkAiSdk],
  ["codex-sdk", checkCodexSdk],
  ["acp", checkAcp],
  ...forEachTui("tui", checkTui),
  ...forEachTui("commands", checkCommands),
  ["two-tuis", checkBoth],
  ...STOCK.map(slash),
]);

const schemas = (version: string): [string, Check] => [
  `schema-${version.slice(0, -2)}`,
  async () => {
    const binary = codexBinary(version);
    return binary === undefined ? undefined : await checkSchemas(binary);
  },
];

/** Of our messages alone. */
const CHECKS = new Map<string, Check>([...STOCK.map(schemas), ["schema-v1", checkSchemasOfV1]]);

const words = process.argv.slice(2);
const isAsked = (name: string): boolean => words.length === 0 || words.some((word) => name.startsWith(word));

for (const [name, check] of CHECKS) {
  if (!isAsked(name)) continue;
  const problems = await check();
  if (problems === undefined) say(`skipped: ${name} cannot be had here`);
  else say(problems.length === 0 ? `ok: ${name}` : `not ok: ${name}\n  ${problems.join("\n  ")}`);
  if (problems !== undefined && problems.length > 0) process.exitCode = 1;
}

const programs = [...stockPrograms(), SKEIN];
const rows: string[][] = [];
for (const [name, suite] of SUITES) {
  if (!isAsked(name)) continue;
  const results = new Map<string, Outcome[]>();
  for (const program of programs) {
    const outcomes = await suite(program).catch((error: unknown): Outcome[] => [
      { step: "begins", problem: String(error) },
    ]);
    if (outcomes === undefined) break;
    results.set(program.name, outcomes);
    for (const { step, problem } of outcomes) {
      say(problem === undefined ? `  ${program.name}: ${step}` : `  ${program.name}: NOT ${step}: ${problem}`);
    }
  }
  const ours = results.get(SKEIN.name);
  if (ours === undefined) {
    say(`skipped: ${name} cannot be had here`);
    continue;
  }
  const count = (outcomes: readonly Outcome[] = []) =>
    outcomes.length === 0
      ? ""
      : `${outcomes.filter(({ problem }) => problem === undefined).length} of ${outcomes.length}`;
  rows.push([name, ...programs.map((program) => count(results.get(program.name)))]);
  const stock = programs.filter((program) => program !== SKEIN).map((program) => results.get(program.name) ?? []);
  const passes = (outcomes: readonly Outcome[], step: string) =>
    outcomes.some((outcome) => outcome.step === step && outcome.problem === undefined);
  const worse = ours.filter(
    ({ step, problem }) =>
      problem !== undefined && (stock.length === 0 || stock.some((outcomes) => passes(outcomes, step))),
  );
  if (worse.length > 0) process.exitCode = 1;
  say(worse.length === 0 ? `ok: ${name}` : `not ok: ${name}: ${worse.map(({ step }) => step).join("; ")}`);
}

/** The table of the README. */
const HEAD = ["steps passed", ...programs.map(({ name }) => name)];
for (const cells of [HEAD, HEAD.map(() => "---"), ...rows]) say(`| ${cells.join(" | ")} |`);
