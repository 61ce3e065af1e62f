/** The last ten minutes, second by second. */
import { computed } from "@preact/signals";
import type { MetricsSample } from "../../../app-server/studio/wire.ts";
import { samples } from "../state.ts";
import { bytes } from "../words.ts";
import { Plot, type PlotProps, type Series } from "./plot.tsx";

type Told = Series & { readonly of: (sample: MetricsSample) => number | null };

const plotOf = (title: string, series: readonly Told[], shown?: PlotProps["shown"]): PlotProps => ({
  title,
  series,
  along: "time",
  data: computed(() => [samples.value.map(({ t }) => t / 1_000), ...series.map(({ of }) => samples.value.map(of))]),
  ...(shown !== undefined && { shown }),
});

const megabytes = (n: number): string => `${Math.round(n / 1e6)} MB`;

const PLOTS: readonly PlotProps[] = [
  plotOf("tokens/s", [
    { label: "fresh", color: "--active", of: ({ tokens }) => Math.max(0, tokens.in - tokens.cached) },
    { label: "cached", color: "--idle-plot", of: ({ tokens }) => tokens.cached },
    { label: "out", color: "--waiting", of: ({ tokens }) => tokens.out },
  ]),
  plotOf("turns", [
    { label: "running", color: "--active", of: ({ capacity }) => capacity.runningTurns.used },
    { label: "queued", color: "--waiting", of: ({ capacity }) => capacity.runningTurns.waiting },
    { label: "limit", color: "--dim", of: ({ capacity }) => capacity.runningTurns.max },
  ]),
  plotOf("first word, ms", [
    { label: "p50", color: "--idle-plot", of: ({ ttft }) => ttft.p50 },
    { label: "p95", color: "--waiting", of: ({ ttft }) => ttft.p95 },
  ]),
  plotOf("loop lag, ms", [
    { label: "p50", color: "--idle-plot", of: ({ loopLag }) => loopLag?.p50 ?? null },
    { label: "p99", color: "--waiting", of: ({ loopLag }) => loopLag?.p99 ?? null },
  ]),
  plotOf("memory", [{ label: "resident", color: "--active", of: ({ rss }) => rss }], megabytes),
];

export function Plots() {
  const last = samples.value.at(-1);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways on a narrow screen
    <section class="plots" aria-label="Figures of all threads" tabIndex={0}>
      {PLOTS.map((plot) => (
        <Plot key={plot.title} {...plot} />
      ))}
      <dl class="now">
        <Figure name="turns a second" value={last === undefined ? "" : String(last.turns.ended)} />
        <Figure name="running" value={last === undefined ? "" : bound(last.capacity.runningTurns)} />
        <Figure name="for a place" value={String(last?.capacity.runningTurns.waiting ?? "")} />
        <Figure name="resident" value={last === undefined ? "" : bound(last.capacity.residentThreads)} />
        <Figure name="unloaded" value={last?.capacity.unloadedThreads.toLocaleString("en") ?? ""} />
        <Figure name="event loop" value={last === undefined ? "" : `${Math.round(last.eventLoop * 100)} %`} />
        <Figure name="memory" value={last === undefined ? "" : bytes(last.rss)} />
      </dl>
    </section>
  );
}

const bound = ({ used, max }: { readonly used: number; readonly max: number | null }): string =>
  max === null ? used.toLocaleString("en") : `${used.toLocaleString("en")} of ${max.toLocaleString("en")}`;

const Figure = ({ name, value }: { readonly name: string; readonly value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);
