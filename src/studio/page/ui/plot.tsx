/** One plot. The second series is dashed and the third dotted, for who sees few colours. */
import type { ReadonlySignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { count } from "../words.ts";

export type Series = { readonly label: string; readonly color: string };

/** `time`: Unix seconds, the last minute at least; `number`: whole ones, each with a point of its own. */
type Along = "time" | "number";

export type PlotProps = {
  readonly title: string;
  readonly series: readonly Series[];
  /** The places along, then the values of each series. */
  readonly data: ReadonlySignal<uPlot.AlignedData>;
  readonly along: Along;
  readonly shown?: (value: number) => string;
};

const DASHES: readonly (number[] | undefined)[] = [undefined, [5, 3], [2, 3]];

/** Of the day, here. */
const timeAt = (seconds: number): string => new Date(seconds * 1_000).toTimeString().slice(0, 8);

const colorOf = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function Plot(props: PlotProps) {
  const { title, series, data } = props;
  const box = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    let plot: uPlot | undefined;
    const make = () => {
      plot?.destroy();
      plot = new uPlot(optionsOf(latest.current, element), data.peek(), element);
    };
    const stop = data.subscribe((values) => plot?.setData(values));
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
  }, [data]);
  return (
    <figure class="plot">
      <figcaption>
        <b>{title}</b>
        {series.map(({ label, color }, index) => (
          <span key={label} class={`legend ${["", "dashed", "dotted"][index] ?? ""} ${color.slice(2)}`}>
            {label}
          </span>
        ))}
      </figcaption>
      <div ref={box} class="canvas" />
    </figure>
  );
}

function optionsOf(
  { series, along, shown = count }: PlotProps,
  { clientWidth, clientHeight }: HTMLElement,
): uPlot.Options {
  const axis = {
    stroke: colorOf("--dim"),
    font: "11px system-ui",
    grid: { stroke: colorOf("--line"), width: 1 },
    ticks: { show: false },
  };
  const isTime = along === "time";
  return {
    width: clientWidth,
    height: clientHeight,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: {
        time: isTime,
        range: (_plot, min, max) =>
          isTime ? [Math.min(min, max - 60), max] : [min - 0.5, Math.max(max, min + 1) + 0.5],
      },
      y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.1 || 1)] },
    },
    axes: [
      {
        ...axis,
        size: 22,
        space: 60,
        ...(isTime
          ? { values: (_plot: uPlot, ticks: number[]) => ticks.map(timeAt) }
          : { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500] }),
      },
      // Between 0 and 1 there is nothing to count, and two ticks of one name.
      { ...axis, size: 54, values: (_plot, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? shown(tick) : "")) },
    ],
    series: [
      {},
      ...series.map(({ label, color }, index) => {
        const dash = DASHES[index];
        return {
          label,
          stroke: colorOf(color),
          width: 1.6,
          spanGaps: true,
          points: { show: !isTime, size: 5, fill: colorOf(color) },
          ...(dash !== undefined && { dash }),
        };
      }),
    ],
  };
}
