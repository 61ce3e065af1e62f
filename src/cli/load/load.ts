import { sleep, systemClock } from "../../kernel/clock.ts";
import { isLoopback } from "../../kernel/loopback.ts";
import { EXIT, Exit, UsageError } from "../failure.ts";
import { Interruption } from "../interruption.ts";
import { drained, type Io } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { Progress } from "../terminal/progress.ts";
import { embeddedTarget } from "./embedded-target.ts";
import { DRAIN_MS, type LoadClock, type LoadPlan, type LoadResult, type Phase, runLoad } from "./runner.ts";
import type { LoadTarget } from "./target.ts";
import { wireTarget } from "./wire-target.ts";

export type LoadOptions = {
  readonly threads: number;
  readonly turns: number;
  readonly forkRate: number;
  readonly removeRate: number;
  readonly seconds: number;
  readonly rate?: number;
  readonly model: string;
  readonly target: string;
  readonly allowRemote?: boolean;
  readonly json?: boolean;
};

const clock: LoadClock = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(systemClock, ms, signal).catch(() => undefined),
};

export async function load(options: LoadOptions, io: Io): Promise<void> {
  checkTarget(options);
  using interruption = new Interruption();
  const { signal } = interruption;
  const result = await withTarget(options, signal, async (target) => {
    using progress = new Progress(io);
    return runLoad(target, planOf(options), {
      clock,
      signal,
      onProgress: ({ elapsed, done, failed, open }) =>
        progress.show(() => `${(elapsed / 1000).toFixed(1)} s  ${done} done  ${open} open  ${failed} failed`),
    });
  });
  const out = new LineWriter(io.stdout);
  if (options.json) out.json({ ...askedOf(options), ...result });
  else for (const line of report(result)) out.line(line);
  out.flush();
  await drained(io.stdout);
  interruption.throwIfInterrupted();
  if (Object.keys(result.errors).length > 0 || unfinishedOf(result) > 0) throw new Exit(EXIT.failed);
}

const PHASES: readonly Phase[] = ["start", "turn", "fork", "remove"];

const unfinishedOf = (result: LoadResult): number => PHASES.reduce((sum, phase) => sum + result[phase].unfinished, 0);

/** The load's own options alone: those of every command may hold secrets, as an address may. */
function askedOf({ threads, turns, forkRate, removeRate, seconds, rate, model, target }: LoadOptions): object {
  return {
    ...{ threads, turns, forkRate, removeRate, seconds, ...(rate !== undefined && { rate }) },
    ...{ model: withoutSecrets(model), target: withoutSecrets(target) },
  };
}

/** Without user, password and query, where it is a URL. */
function withoutSecrets(text: string): string {
  const url = URL.parse(text);
  if (url === null || url.host === "") return text;
  return `${url.protocol}//${url.host}${url.pathname}`;
}

function planOf({ threads, turns, seconds, rate, forkRate, removeRate }: LoadOptions): LoadPlan {
  const total = threads * turns;
  return {
    threads,
    turns: total,
    seconds,
    rates: { turn: rate ?? total / seconds, fork: forkRate, remove: removeRate },
  };
}

async function withTarget<T>(
  { target, model, threads }: LoadOptions,
  signal: AbortSignal,
  work: (target: LoadTarget) => Promise<T>,
): Promise<T> {
  await using opened = target === "embedded" ? await embeddedTarget(model, threads) : await wireTarget(target, signal);
  return await work(opened);
}

function checkTarget({ target, model, allowRemote = false }: LoadOptions): void {
  if (target !== "embedded") checkUrl("--target", target, { schemes: ["ws:", "wss:"], allowRemote });
  if (model === "scripted") return;
  if (target !== "embedded") throw new UsageError("--model is for --target embedded: a server chooses its own");
  checkUrl("--model", model, { schemes: ["http:", "https:"], allowRemote });
}

function checkUrl(
  option: string,
  text: string,
  { schemes, allowRemote }: { readonly schemes: readonly string[]; readonly allowRemote: boolean },
): void {
  const url = URL.parse(text);
  const wanted = schemes.map((scheme) => `${scheme}//...`).join(" or ");
  if (url === null || !schemes.includes(url.protocol)) throw new UsageError(`${option} must be ${wanted}`);
  if (allowRemote || isLoopback(url.hostname)) return;
  throw new UsageError(`${option}: ${url.hostname} is another machine; --allow-remote says that it may be loaded`);
}

function report(result: LoadResult): string[] {
  const columns = ["", "done", "failed", "open", "a second", "p50 ms", "p90", "p99", "p99.9", "max"];
  const rows = PHASES.filter((phase) => result[phase].begun > 0).map((phase) => {
    const { done, failed, unfinished, perSecond, latencyMs } = result[phase];
    const { p50, p90, p99, p999, max } = latencyMs;
    const times = [p50, p90, p99, p999, max].map((ms) => ms.toPrecision(4));
    return [phase, String(done), String(failed), String(unfinished), String(perSecond), ...times];
  });
  const widths = columns.map((name, at) => Math.max(name.length, ...rows.map((row) => (row[at] ?? "").length)));
  const table = [columns, ...rows].map((row) => row.map((cell, at) => cell.padStart(widths[at] ?? 0)).join("  "));
  const errors = Object.entries(result.errors).map(([code, count]) => `${count} × ${code}`);
  const unfinished = unfinishedOf(result);
  return [
    ...table,
    ...(unfinished === 0 || result.interrupted
      ? []
      : [`${unfinished} were not over ${DRAIN_MS / 1000} s after the end`]),
    ...(errors.length === 0 ? [] : [`errors: ${errors.join(", ")}`]),
    ...(result.skipped === 0 ? [] : [`${result.skipped} forks and removals found no idle thread`]),
    `${result.seconds} s${result.interrupted ? ", interrupted" : ""}`,
  ];
}
