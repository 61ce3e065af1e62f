/**
 * A tree on one clock: a lane for each thread, a bar for each turn, request, tool and wait. Where nothing happens
 * anywhere for long, the time is squeezed. Wheel and W A S D zoom and move, as in DevTools.
 */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Span, SpanKind } from "../../../app-server/studio/wire.ts";
import { mostTokens, shadeOf, tokensIn } from "../shade.ts";
import { depths, familyOf, messageOf, nameOf, request, rows, select, selected } from "../state.ts";
import { count, duration, visible } from "../words.ts";

const LANE = 20;
const STRIP = 32;
const AXIS = 22;
const NAMES = 150;
/** Levels that names are indented by, and letters that can fit. */
const DEEPEST = 6;
const LONGEST_NAME = 60;
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
  slot: "--dim",
};

/** Time as it is drawn: long gaps are taken out of it. */
type Clock = { readonly at: (t: number) => number; readonly length: number; readonly gaps: readonly Gap[] };
type Gap = { readonly from: number; readonly to: number };

type Read = {
  readonly spans: Span[];
  readonly now: number;
  readonly earlier: Span[] | null;
  readonly unread: number;
};

export function Timeline({ root }: { readonly root: string | undefined }) {
  const live = useSignal<readonly Span[]>([]);
  /** What began before the studio looked. */
  const earlier = useSignal<readonly Span[] | undefined>(undefined);
  const unread = useSignal(0);
  const now = useSignal(0);
  const view = useSignal({ start: 0, end: 1 });
  const hovered = useSignal("");
  const failure = useSignal("");
  /** What of the lanes is in sight: pixels from the first one's top. */
  const sight = useSignal({ top: 0, height: 0 });
  const holder = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const head = useRef<HTMLCanvasElement>(null);
  const brush = useRef<number | undefined>(undefined);
  useEffect(() => {
    let isWanted = true;
    let timer = 0;
    const look = async () => {
      // Asked for again only while something of it goes on.
      const wantsEarlier = earlier.value?.some(([, , , end]) => end === null) ?? true;
      const params = { ...(root !== undefined && { root }), earlier: wantsEarlier, forks: true };
      const read = await request<Read>("skein/timeline/read", params).catch(messageOf);
      if (!isWanted) return;
      failure.value = typeof read === "string" ? read : "";
      if (typeof read !== "string") {
        live.value = read.spans;
        now.value = read.now;
        if (read.earlier !== null) {
          earlier.value = read.earlier;
          unread.value = read.unread;
        }
      }
      timer = setTimeout(() => void look(), EVERY_MS);
    };
    earlier.value = undefined;
    live.value = [];
    void look();
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [root, live, earlier, unread, now, failure]);
  useEffect(() => {
    const element = holder.current;
    if (element === null) return;
    const look = () => {
      sight.value = { top: element.scrollTop, height: element.clientHeight };
    };
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look);
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [sight]);
  const spans = useComputed(() => [...(earlier.value ?? []), ...live.value]);
  const lanes = lanesOf(root, spans.value);
  const clock = clockOf(spans.value, now.value);
  useEffect(() => {
    const scene = { spans: spans.value, clock, view: view.value, now: now.value, sight: sight.value };
    if (canvas.current !== null) draw(canvas.current, lanes, scene);
    if (head.current !== null) drawHead(head.current, lanes, scene);
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
  const laneAt = (event: MouseEvent): string | undefined => {
    const top = canvas.current?.getBoundingClientRect().top ?? 0;
    return lanes[Math.floor((event.clientY - top + sight.value.top) / LANE)];
  };
  const found = (event: MouseEvent): Span | undefined => {
    const element = canvas.current;
    if (element === null) return undefined;
    const { left, width } = element.getBoundingClientRect();
    const lane = laneAt(event);
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
          {lanes.length === 1 ? "1 lane" : `${lanes.length} lanes`} ·{" "}
          {duration((view.value.end - view.value.start) * clock.length)} of {duration(clock.length)}
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
      <canvas
        ref={head}
        class="overview"
        height={STRIP + AXIS}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          brush.current = placeOn(event.currentTarget, event);
        }}
        onPointerMove={(event) => {
          const from = brush.current;
          if (from === undefined) return;
          const to = placeOn(event.currentTarget, event);
          if (Math.abs(to - from) > 0.005) view.value = { start: Math.min(from, to), end: Math.max(from, to) };
        }}
        onPointerUp={() => {
          brush.current = undefined;
        }}
      />
      <div
        ref={holder}
        class="lanes"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it takes keys, and scrolls
        tabIndex={0}
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
        <div style={{ height: `${LANE * lanes.length}px` }}>
          <canvas
            ref={canvas}
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
                  : `${span[1]} ${visible(span[5]).slice(0, 60)} ${span[4]} ${duration((span[3] ?? now.value) - span[2])}${usedBy(span)}`;
            }}
            onClick={(event) => {
              const lane = laneAt(event);
              if (lane !== undefined) select(lane);
            }}
          />
        </div>
      </div>
      {unread.value > 0 && <p class="dim">The lines of {unread.value} more threads were not read.</p>}
      {failure.value !== "" && <p class="empty error">It can't be read: {visible(failure.value)}</p>}
      {spans.value.length === 0 && failure.value === "" && (
        <p class="empty">{earlier.value === undefined ? "Reading…" : "Nothing has run here yet."}</p>
      )}
    </div>
  );
}

function usedBy(span: Span): string {
  const [, , , , , , tokens] = span;
  return tokens === null ? "" : ` · ${count(tokensIn(span))} tokens, ${count(tokens[1])} more cached`;
}

/** In the order of the tree; threads without a span have no lane. */
function lanesOf(root: string | undefined, spans: readonly Span[]): string[] {
  const has = new Set(spans.map(([id]) => id));
  if (root === undefined) return [...[...depths.value.keys()].filter((id) => has.delete(id)), ...has];
  const family = new Set(familyOf(root, { forks: true }).map(({ id }) => id));
  return [...[...depths.value.keys()].filter((id) => family.has(id) && has.delete(id)), ...has];
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
  readonly sight: { readonly top: number; readonly height: number };
};

/** Where the pointer is on the whole of the time, 0 to 1. */
function placeOn(canvas: HTMLCanvasElement, { clientX }: MouseEvent): number {
  const { left, width } = canvas.getBoundingClientRect();
  return Math.min(1, Math.max(0, (clientX - left - NAMES) / (width - NAMES)));
}

type Pen = { readonly pen: CanvasRenderingContext2D; readonly width: number; readonly color: (name: string) => string };

/** A canvas as wide as what holds it, sharp on every screen, and empty. */
function penOn(canvas: HTMLCanvasElement, height: number): Pen | undefined {
  const width = canvas.parentElement?.clientWidth ?? 600;
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  if (pen === null) return undefined;
  const style = getComputedStyle(document.documentElement);
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.font = "11px system-ui";
  pen.textBaseline = "middle";
  return { pen, width, color: (name) => style.getPropertyValue(name).trim() };
}

/** All of the time in a strip, with what of it is shown; under it the axis. Both stay while the lanes scroll. */
function drawHead(canvas: HTMLCanvasElement, lanes: readonly string[], { spans, clock, view, now }: Scene): void {
  const drawn = penOn(canvas, STRIP + AXIS);
  if (drawn === undefined) return;
  const { pen, width, color } = drawn;
  const room = width - NAMES;
  const whole = (place: number) => NAMES + (place / clock.length) * room;
  const laneOf = new Map(lanes.map((id, index) => [id, index]));
  pen.fillStyle = color("--chosen");
  pen.fillRect(NAMES + view.start * room, 0, (view.end - view.start) * room, STRIP);
  for (const [id, kind, start, end] of spans) {
    const y = 2 + ((laneOf.get(id) ?? 0) / Math.max(1, lanes.length)) * (STRIP - 6);
    pen.fillStyle = color(kind === "turn" ? "--faint" : COLORS[kind]);
    const left = whole(clock.at(start));
    pen.fillRect(left, y, Math.max(1, whole(clock.at(end ?? now)) - left), 2);
  }
  pen.fillStyle = color("--dim");
  const from = view.start * clock.length;
  const shown = (view.end - view.start) * clock.length;
  for (let tick = 0; tick < 5; tick += 1) {
    const x = NAMES + (room * tick) / 5;
    pen.fillText(`+${duration(from + (shown * tick) / 5)}`, x + 4, STRIP + AXIS / 2);
    pen.fillRect(x, STRIP + 4, 1, AXIS - 4);
  }
}

/** The lanes that are in sight, and no others: a canvas is not as high as 10,000 of them. */
function draw(canvas: HTMLCanvasElement, lanes: readonly string[], scene: Scene): void {
  const { spans, clock, view, now, sight } = scene;
  const height = Math.min(sight.height, LANE * lanes.length);
  const drawn = penOn(canvas, height);
  if (drawn === undefined) return;
  const { pen, width, color } = drawn;
  const from = view.start * clock.length;
  const to = view.end * clock.length;
  const x = (place: number) => NAMES + ((place - from) / (to - from)) * (width - NAMES);
  const laneOf = new Map(lanes.map((id, index) => [id, index]));
  const topOf = (lane: number) => lane * LANE - sight.top;
  const outermost = lanes.reduce((least, id) => Math.min(least, depths.value.get(id) ?? 0), Number.POSITIVE_INFINITY);
  const isSeen = (y: number) => y > -LANE && y < height;
  for (const [index, id] of lanes.entries()) {
    const y = topOf(index);
    if (!isSeen(y)) continue;
    if (id === selected.peek()) {
      pen.fillStyle = color("--chosen");
      pen.fillRect(0, y, width, LANE);
    }
    pen.fillStyle = color("--ink");
    const indent = 8 + 10 * Math.min(DEEPEST, Math.max(0, (depths.value.get(id) ?? 0) - outermost));
    const name = fitted(pen, visible(nameOf(rows.get(id) ?? { id, label: "" })), NAMES - 6 - indent);
    pen.fillText(name, indent, y + LANE / 2);
  }
  pen.save();
  pen.beginPath();
  pen.rect(NAMES, 0, width - NAMES, height);
  pen.clip();
  pen.fillStyle = color("--dim");
  for (const gap of clock.gaps) {
    pen.fillText(`${duration(gap.to - gap.from)} of nothing`, x(clock.at(gap.from)) + 2, height - 6);
  }
  drawForks(drawn, { laneOf, topOf, height, x: (t) => x(clock.at(t)) });
  const most = mostTokens(spans);
  for (const span of spans) {
    const [id, kind, start, end] = span;
    const lane = laneOf.get(id);
    if (lane === undefined) continue;
    const y = topOf(lane);
    if (!isSeen(y)) continue;
    const left = x(clock.at(start));
    const right = Math.max(left + 1, x(clock.at(end ?? now)));
    pen.globalAlpha = kind === "model" ? shadeOf(span, most) : 1;
    pen.fillStyle = color(COLORS[kind]);
    pen.strokeStyle = color(COLORS[kind]);
    if (kind === "turn") pen.fillRect(left, y + 3, right - left, LANE - 6);
    else if (kind === "tool") pen.strokeRect(left + 0.5, y + 5.5, right - left - 1, LANE - 11);
    else if (kind === "slot") pen.fillRect(left, y + LANE / 2 - 1, right - left, 2);
    else if (kind === "approval") hatch(pen, { left, right, top: y + 5, bottom: y + LANE - 5 });
    else pen.fillRect(left, y + 6, right - left, LANE - 12);
  }
  pen.restore();
}

/** The start of a text, with `…` where it does not fit. */
function fitted(pen: CanvasRenderingContext2D, text: string, room: number): string {
  if (pen.measureText(text).width <= room) return text;
  let kept = [...text.slice(0, LONGEST_NAME)];
  while (kept.length > 0 && pen.measureText(`${kept.join("")}…`).width > room) kept = kept.slice(0, -1);
  return `${kept.join("")}…`;
}

type Lanes = {
  readonly laneOf: ReadonlyMap<string, number>;
  readonly topOf: (lane: number) => number;
  readonly height: number;
  readonly x: (t: number) => number;
};

/** A hairline from a source's lane to its fork's, at the time when the fork was made. */
function drawForks({ pen, color }: Pen, { laneOf, topOf, height, x }: Lanes): void {
  pen.strokeStyle = color("--accent");
  pen.fillStyle = color("--accent");
  pen.lineWidth = 1;
  for (const [id, lane] of laneOf) {
    const row = rows.get(id);
    const source = laneOf.get(row?.fork ?? "");
    if (row === undefined || source === undefined) continue;
    const [from, to] = [topOf(source) + LANE / 2, topOf(lane) + LANE / 2];
    if (Math.max(from, to) < 0 || Math.min(from, to) > height) continue;
    const at = Math.round(x(row.createdAt)) + 0.5;
    pen.beginPath();
    pen.moveTo(at, from);
    pen.lineTo(at, to);
    pen.stroke();
    pen.beginPath();
    pen.arc(at, to, 2, 0, 2 * Math.PI);
    pen.fill();
  }
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
