/**
 * A tree on one clock: a lane for each thread, a bar for each turn, request, tool and wait. Where nothing happens
 * anywhere for long, the time is squeezed. Wheel and W A S D zoom and move, as in DevTools.
 */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Span, SpanKind } from "../../../app-server/studio/wire.ts";
import { familyOf, nameOf, request, rows, select, selected } from "../state.ts";
import { clockTime, duration, visible } from "../words.ts";

const LANE = 20;
const AXIS = 22;
const NAMES = 150;
const EVERY_MS = 1_000;
const LONG_GAP_MS = 10_000;
/** A long gap counts as so much. */
const SQUEEZED_MS = 1_000;

const COLORS: Readonly<Record<SpanKind, string>> = {
  turn: "--line",
  model: "--active",
  tool: "--idle-plot",
  approval: "--waiting",
  backoff: "--failed",
};

/** Time as it is drawn: long gaps are taken out of it. */
type Clock = { readonly at: (t: number) => number; readonly length: number; readonly gaps: readonly Gap[] };
type Gap = { readonly from: number; readonly to: number };

export function Timeline({ root }: { readonly root: string | undefined }) {
  const spans = useSignal<readonly Span[]>([]);
  const now = useSignal(0);
  const view = useSignal({ start: 0, end: 1 });
  const hovered = useSignal("");
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    let isWanted = true;
    let timer = 0;
    const look = async () => {
      const params = root === undefined ? {} : { root };
      const read = await request<{ spans: Span[]; now: number }>("skein/timeline/read", params).catch(() => undefined);
      if (!isWanted) return;
      if (read !== undefined) {
        spans.value = read.spans;
        now.value = read.now;
      }
      timer = setTimeout(() => void look(), EVERY_MS);
    };
    void look();
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [root, spans, now]);
  const lanes = lanesOf(root, spans.value);
  const clock = clockOf(spans.value, now.value);
  useEffect(() => {
    if (canvas.current !== null)
      draw(canvas.current, lanes, { spans: spans.value, clock, view: view.value, now: now.value });
  });
  const zoom = (factor: number, at: number) => {
    const { start, end } = view.value;
    const length = Math.min(1, Math.max(0.0005, (end - start) * factor));
    const from = Math.min(1 - length, Math.max(0, start + (end - start) * at - length * at));
    view.value = { start: from, end: from + length };
  };
  const moveBy = (part: number) => {
    const { start, end } = view.value;
    const by = Math.min(1 - end, Math.max(-start, (end - start) * part));
    view.value = { start: start + by, end: end + by };
  };
  const found = (event: MouseEvent): Span | undefined => {
    const element = canvas.current;
    if (element === null) return undefined;
    const { left, top, width } = element.getBoundingClientRect();
    const lane = lanes[Math.floor((event.clientY - top - AXIS) / LANE)];
    const { start, end } = view.value;
    const place = (start + ((event.clientX - left - NAMES) / (width - NAMES)) * (end - start)) * clock.length;
    const hits = spans.value.filter(
      ([id, , from, to]) => id === lane && clock.at(from) <= place && clock.at(to ?? now.value) >= place,
    );
    return hits.at(-1);
  };
  return (
    <div class="timeline">
      <div class="bar">
        <span class="dim">
          {lanes.length} lanes · {duration(clock.length)}
        </span>
        <button type="button" class="quiet" aria-label="Zoom in" onClick={() => zoom(0.6, 0.5)}>
          +
        </button>
        <button type="button" class="quiet" aria-label="Zoom out" onClick={() => zoom(1.7, 0.5)}>
          −
        </button>
        <button
          type="button"
          class="quiet"
          onClick={() => {
            view.value = { start: 0, end: 1 };
          }}
        >
          all
        </button>
        <span class="mono">{hovered.value}</span>
      </div>
      <div
        class="lanes"
        role="application"
        aria-label={`Timeline of ${lanes.length} threads; W and S zoom, A and D move`}
        onKeyDown={(event) => {
          const key = event.key.toLowerCase();
          if (!"wasd".includes(key) || key.length !== 1) return;
          event.stopPropagation();
          if (key === "w") zoom(0.8, 0.5);
          else if (key === "s") zoom(1.25, 0.5);
          else moveBy(key === "a" ? -0.2 : 0.2);
        }}
      >
        <canvas
          ref={canvas}
          height={AXIS + LANE * lanes.length}
          onWheel={(event) => {
            if (!event.ctrlKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY) && event.shiftKey) return;
            event.preventDefault();
            const { left, width } = event.currentTarget.getBoundingClientRect();
            if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) moveBy(event.deltaX / 800);
            else zoom(event.deltaY > 0 ? 1.15 : 0.87, (event.clientX - left - NAMES) / (width - NAMES));
          }}
          onMouseMove={(event) => {
            const span = found(event);
            hovered.value =
              span === undefined
                ? ""
                : `${span[1]} ${visible(span[5]).slice(0, 60)} ${span[4]} ${duration((span[3] ?? now.value) - span[2])}`;
          }}
          onClick={(event) => {
            const { top } = event.currentTarget.getBoundingClientRect();
            const lane = lanes[Math.floor((event.clientY - top - AXIS) / LANE)];
            if (lane !== undefined) select(lane);
          }}
        />
      </div>
      {spans.value.length === 0 && <p class="empty">Nothing has run here since the studio looks.</p>}
    </div>
  );
}

/** In the order of the tree; threads without a span have no lane. */
function lanesOf(root: string | undefined, spans: readonly Span[]): string[] {
  const has = new Set(spans.map(([id]) => id));
  if (root === undefined) return [...has];
  const family = familyOf(root, { forks: false }).map(({ id }) => id);
  return [...family.filter((id) => has.delete(id)), ...has];
}

function clockOf(spans: readonly Span[], now: number): Clock {
  const gaps: Gap[] = [];
  const [first] = spans;
  const start = first?.[2] ?? now;
  let until = start;
  for (const [, , from, to] of spans) {
    if (from - until > LONG_GAP_MS) gaps.push({ from: until, to: from });
    until = Math.max(until, to ?? now);
  }
  const at = (t: number): number => {
    let place = t - start;
    for (const { from, to } of gaps) {
      if (t <= from) break;
      const within = Math.min(t, to) - from;
      place -= within * (1 - SQUEEZED_MS / (to - from));
    }
    return place;
  };
  return { at, length: Math.max(1, at(until)), gaps };
}

type Scene = {
  readonly spans: readonly Span[];
  readonly clock: Clock;
  readonly view: { readonly start: number; readonly end: number };
  readonly now: number;
};

function draw(canvas: HTMLCanvasElement, lanes: readonly string[], { spans, clock, view, now }: Scene): void {
  const width = canvas.parentElement?.clientWidth ?? 600;
  const scale = devicePixelRatio;
  const height = AXIS + LANE * lanes.length;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(name).trim();
  pen.scale(scale, scale);
  pen.font = "11px system-ui";
  pen.textBaseline = "middle";
  const from = view.start * clock.length;
  const to = view.end * clock.length;
  const x = (place: number) => NAMES + ((place - from) / (to - from)) * (width - NAMES);
  const laneOf = new Map(lanes.map((id, index) => [id, index]));
  for (const [index, id] of lanes.entries()) {
    const y = AXIS + index * LANE;
    if (id === selected.peek()) {
      pen.fillStyle = color("--chosen");
      pen.fillRect(0, y, width, LANE);
    }
    pen.fillStyle = color("--ink");
    pen.fillText(visible(nameOf(rows.get(id) ?? { id, label: "" })).slice(0, 22), 8, y + LANE / 2, NAMES - 12);
  }
  pen.save();
  pen.beginPath();
  pen.rect(NAMES, 0, width - NAMES, height);
  pen.clip();
  pen.fillStyle = color("--dim");
  for (let tick = 0; tick <= 5; tick += 1) {
    const place = from + ((to - from) * tick) / 5;
    pen.fillText(`+${duration(place)}`, x(place) + 2, AXIS / 2);
    pen.fillRect(x(place), AXIS - 4, 1, height);
  }
  for (const gap of clock.gaps)
    pen.fillText(`${duration(gap.to - gap.from)} of nothing`, x(clock.at(gap.from)) + 2, AXIS - 4);
  for (const [id, kind, start, end] of spans) {
    const lane = laneOf.get(id);
    if (lane === undefined) continue;
    const left = x(clock.at(start));
    const right = Math.max(left + 1, x(clock.at(end ?? now)));
    const y = AXIS + lane * LANE;
    pen.fillStyle = color(COLORS[kind]);
    pen.strokeStyle = color(COLORS[kind]);
    if (kind === "turn") pen.fillRect(left, y + 3, right - left, LANE - 6);
    else if (kind === "tool") pen.strokeRect(left + 0.5, y + 5.5, right - left - 1, LANE - 11);
    else if (kind === "approval") hatch(pen, { left, right, top: y + 5, bottom: y + LANE - 5 });
    else pen.fillRect(left, y + 6, right - left, LANE - 12);
  }
  pen.restore();
  canvas.title = spans.length === 0 ? "" : `from ${clockTime(spans[0]?.[2] ?? 0)}`;
}

function hatch(
  pen: CanvasRenderingContext2D,
  { left, right, top, bottom }: Readonly<Record<"left" | "right" | "top" | "bottom", number>>,
): void {
  pen.strokeRect(left + 0.5, top + 0.5, Math.max(1, right - left - 1), bottom - top);
  pen.beginPath();
  for (let at = left; at < right && at < left + 4_000; at += 5) {
    pen.moveTo(at, bottom);
    pen.lineTo(Math.min(right, at + 5), top);
  }
  pen.stroke();
}
