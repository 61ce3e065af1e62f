/** The last ten minutes, second by second. The second series of each plot is dashed, for who sees few colours. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { MetricsSample } from "../../../app-server/studio/wire.ts";
import { samples } from "../state.ts";
import { bytes, count } from "../words.ts";

type Series = { readonly label: string; readonly color: string; readonly of: (sample: MetricsSample) => number | null };

const PLOTS: readonly { readonly title: string; readonly series: readonly Series[] }[] = [
  {
    title: "tokens a second",
    series: [
      { label: "in", color: "--active", of: ({ tokens }) => tokens.in },
      { label: "out", color: "--waiting", of: ({ tokens }) => tokens.out },
    ],
  },
  {
    title: "turns",
    series: [
      { label: "running", color: "--active", of: ({ capacity }) => capacity.runningTurns.used },
      { label: "waiting for you", color: "--waiting", of: ({ pending }) => pending },
    ],
  },
  {
    title: "first word, ms",
    series: [
      { label: "p50", color: "--idle-plot", of: ({ ttft }) => ttft.p50 },
      { label: "p95", color: "--waiting", of: ({ ttft }) => ttft.p95 },
    ],
  },
];

export function Plots() {
  const last = samples.value.at(-1);
  return (
    <section class="plots" aria-label="Figures">
      {PLOTS.map((plot) => (
        <Plot key={plot.title} title={plot.title} series={plot.series} />
      ))}
      <dl class="now">
        <Figure name="turns a second" value={last === undefined ? "" : String(last.turns.ended)} />
        <Figure name="running" value={last === undefined ? "" : bound(last.capacity.runningTurns)} />
        <Figure name="for a slot" value={String(last?.capacity.runningTurns.waiting ?? "")} />
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

const colorOf = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function Plot({ title, series }: (typeof PLOTS)[number]) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    let plot: uPlot | undefined;
    const make = () => {
      plot?.destroy();
      plot = new uPlot(optionsOf(series, element), dataOf(series, samples.peek()), element);
    };
    const stop = samples.subscribe((all) => plot?.setData(dataOf(series, all)));
    const observer = new ResizeObserver(() => {
      if (plot === undefined) make();
      else plot.setSize({ width: element.clientWidth, height: element.clientHeight });
    });
    observer.observe(element);
    // It keeps the colours of its birth.
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", make);
    return () => {
      stop();
      observer.disconnect();
      scheme.removeEventListener("change", make);
      plot?.destroy();
    };
  }, [series]);
  return (
    <figure class="plot">
      <figcaption>
        {title}
        {series.map(({ label, color }, index) => (
          <span key={label} class={`legend ${index > 0 ? "dashed" : ""} ${color.slice(2)}`}>
            {label}
          </span>
        ))}
      </figcaption>
      <div ref={box} class="canvas" />
    </figure>
  );
}

const dataOf = (series: readonly Series[], all: readonly MetricsSample[]): uPlot.AlignedData => [
  all.map(({ t }) => t / 1_000),
  ...series.map(({ of }) => all.map(of)),
];

function optionsOf(series: readonly Series[], { clientWidth, clientHeight }: HTMLElement): uPlot.Options {
  const axis = {
    stroke: colorOf("--dim"),
    font: "11px system-ui",
    grid: { stroke: colorOf("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: clientWidth,
    height: clientHeight,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { range: (_plot, min, max) => [Math.min(min, max - 60), max] },
      y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.1 || 1)] },
    },
    axes: [
      { ...axis, size: 22, space: 60 },
      { ...axis, size: 44, values: (_plot, ticks) => ticks.map(count) },
    ],
    series: [
      {},
      ...series.map(({ label, color }, index) => ({
        label,
        stroke: colorOf(color),
        width: 1.6,
        spanGaps: true,
        points: { show: false },
        ...(index > 0 && { dash: [5, 3] }),
      })),
    ],
  };
}
