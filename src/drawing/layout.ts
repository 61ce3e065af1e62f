/**
 * Where the states and transitions of a chart are drawn. Each level is laid out by itself, innermost first, and is then one
 * box of the level above: dagre's own compound mode fails on edges that end in a box, which statecharts have.
 */
import { Graph, layout } from "@dagrejs/dagre";
import type { Chart, ChartState, ChartTransition } from "../../machines/chart.ts";

export type Point = { readonly x: number; readonly y: number };

/** A state's box: its upper left corner, and its size. */
export type DrawnState = {
  readonly state: ChartState;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** What stands in the box under its name: what it does, and the ways that do not leave it. */
  readonly lines: readonly string[];
};

/** All transitions from one box to another; or, without `from`, the way into a level. */
export type DrawnEdge = {
  readonly from: string | undefined;
  readonly to: string;
  readonly points: readonly Point[];
  readonly lines: readonly string[];
  /** The middle of the label. */
  readonly label: Point;
  readonly transitions: readonly ChartTransition[];
};

/** Sizes and places are pixels. Outer states come before those within them. */
export type Drawing = {
  readonly id: string;
  readonly width: number;
  readonly height: number;
  readonly states: readonly DrawnState[];
  readonly edges: readonly DrawnEdge[];
};

/** Of the type that the drawing is made for: monospaced, so that a text's width is known without measuring it. */
export const LETTER = { size: 11, width: 6.7, line: 15, title: 20 } as const;
export const START_RADIUS = 5;
const PADDING = 12;
/** A box that is so much lower than its row is reached through the row, straight up or down. */
const MUCH_LOWER = 48;
const START = "(start)";

type Level = { width: number; height: number; states: DrawnState[]; edges: DrawnEdge[] };

/** Lays a chart out. The same chart always comes out the same. */
export function layOut(chart: Chart): Drawing {
  const { width, height, states, edges } = box(chart, chart.root);
  return { id: chart.id, width, height, states, edges };
}

/** One state with all that is in it, its corner at 0, 0. */
function box(chart: Chart, state: ChartState): Level {
  const lines = linesOf(chart, state);
  const head = LETTER.title + lines.length * LETTER.line + PADDING;
  const title = [state.key, ...state.tags.map((tag) => `#${tag}`)].join(" ");
  const least = Math.max(...[title, ...lines].map((text) => text.length * LETTER.width)) + 2 * PADDING;
  const inner = state.states.length === 0 ? undefined : levelOf(chart, state);
  const width = Math.ceil(Math.max(least, (inner?.width ?? 0) + 2 * PADDING));
  const height = Math.ceil(head + (inner === undefined ? 0 : inner.height + PADDING));
  const own: DrawnState = { state, x: 0, y: 0, width, height, lines };
  if (inner === undefined) return { width, height, states: [own], edges: [] };
  const moved = move(inner, (width - inner.width) / 2, head);
  return { width, height, states: [own, ...moved.states], edges: moved.edges };
}

/** The states directly under one, side by side. */
function levelOf(chart: Chart, parent: ChartState): Level {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: "TB", nodesep: 28, ranksep: 34, edgesep: 18, marginx: 4, marginy: 4 });
  const boxes = parent.states.map((state) => ({ state, level: box(chart, state) }));
  for (const { state, level } of boxes) graph.setNode(state.id, { width: level.width, height: level.height });
  const ways = waysWithin(chart, parent);
  for (const [index, { from, to, lines }] of ways.entries()) {
    const width = Math.max(...lines.map((line) => line.length)) * LETTER.width + 8;
    graph.setEdge(from, to, { width, height: lines.length * LETTER.line + 4, labelpos: "c" }, String(index));
  }
  const entered = parent.initial === undefined ? undefined : childOn(parent, parent.initial);
  if (entered !== undefined) {
    graph.setNode(START, { width: 2 * START_RADIUS, height: 2 * START_RADIUS });
    graph.setEdge(START, entered, { width: 0, height: 0 }, START);
  }
  layout(graph);
  const placed = boxes.map(({ state, level }) => {
    const node = graph.node(state.id);
    return move(level, round(node.x - level.width / 2), round(node.y - level.height / 2));
  });
  const edges = ways.map(({ from, to, lines, transitions }, index): DrawnEdge => {
    const { points, x, y } = placedEdge(graph, from, to, String(index));
    return { from, to, lines, transitions, points, label: { x, y } };
  });
  if (entered !== undefined) {
    const { points } = placedEdge(graph, START, entered, START);
    const { x, y } = graph.node(START);
    edges.unshift({ from: undefined, to: entered, lines: [], transitions: [], points, label: { x, y } });
  }
  return bounded({
    width: 0,
    height: 0,
    states: placed.flatMap(({ states }) => states),
    edges: [...edges, ...placed.flatMap((level) => level.edges)],
  });
}

function placedEdge(graph: Graph, from: string, to: string, name: string): { points: Point[] } & Point {
  const { points = [], x, y } = graph.edge(from, to, name) as { points?: Point[]; x?: number; y?: number };
  const rounded = pastBoxes(graph, [from, to], points).map((point) => ({ x: round(point.x), y: round(point.y) }));
  const middle = rounded[Math.floor(rounded.length / 2)] ?? { x: 0, y: 0 };
  return { points: rounded, x: round(x ?? middle.x), y: round(y ?? middle.y) };
}

/** dagre bends an edge in the middle of each row that it passes: it is to go straight past the row's highest box. */
function pastBoxes(graph: Graph, [from, to]: readonly [string, string], points: readonly Point[]): Point[] {
  type Placed = { y: number; height: number };
  const boxes: Placed[] = graph.nodes().map((name: string): Placed => graph.node(name));
  const source: Placed = graph.node(from);
  const target: Placed = graph.node(to);
  const down = source.y <= target.y ? 0.5 : -0.5;
  const rowAt = (y: number) => Math.max(0, ...boxes.map((box) => (Math.abs(box.y - y) < 0.01 ? box.height : 0)));
  const rowEdge = (end: Placed, side: number, x: number): Point[] => {
    const row = rowAt(end.y);
    return row - end.height < MUCH_LOWER ? [] : [{ x, y: end.y + side * row }];
  };
  return points.flatMap((point, index) => {
    const { x, y } = point;
    if (index === 0) return [point, ...rowEdge(source, down, x)];
    if (index === points.length - 1) return [...rowEdge(target, -down, x), point];
    const passed = down * rowAt(y);
    return passed === 0 ? [point] : [-passed, passed].map((side) => ({ x, y: y + side }));
  });
}

/** dagre's size of a graph leaves bends of edges out, so the bounds are taken of all points. */
function bounded(level: Level): Level {
  const xs: number[] = [];
  const ys: number[] = [];
  for (const { x, y, width, height } of level.states) {
    xs.push(x, x + width);
    ys.push(y, y + height);
  }
  for (const { points, label, lines } of level.edges) {
    const half = { x: (Math.max(0, ...lines.map(({ length }) => length)) * LETTER.width) / 2 + 4, y: lines.length * 8 };
    xs.push(...points.map(({ x }) => x), label.x - half.x, label.x + half.x);
    ys.push(...points.map(({ y }) => y), label.y - half.y, label.y + half.y);
  }
  const left = Math.min(...xs);
  const top = Math.min(...ys);
  return {
    ...move(level, -left, -top),
    width: Math.ceil(Math.max(...xs) - left),
    height: Math.ceil(Math.max(...ys) - top),
  };
}

function move(level: Level, dx: number, dy: number): Level {
  const shifted = ({ x, y }: Point) => ({ x: round(x + dx), y: round(y + dy) });
  return {
    ...level,
    states: level.states.map((state) => ({ ...state, ...shifted(state) })),
    edges: level.edges.map((edge) => ({ ...edge, points: edge.points.map(shifted), label: shifted(edge.label) })),
  };
}

const round = (value: number): number => Math.round(value * 10) / 10;

type Way = { from: string; to: string; lines: string[]; transitions: ChartTransition[] };

/** The transitions that go from one child of a state to another one, however deep they begin and end; those of a pair are one. */
function waysWithin(chart: Chart, parent: ChartState): Way[] {
  const ways = new Map<string, Way>();
  for (const transition of chart.transitions) {
    if (transition.to === undefined || staysWithin(transition)) continue;
    const from = childOn(parent, transition.from);
    const to = childOn(parent, transition.to);
    if (from === undefined || to === undefined || from === to) continue;
    const key = `${from} ${to}`;
    const way = ways.get(key) ?? { from, to, lines: [], transitions: [] };
    ways.set(key, way);
    way.transitions.push(transition);
    const source = transition.from === from ? "" : `${transition.from.slice(from.length + 1)}: `;
    const target = transition.to === to ? "" : ` → ${transition.to.slice(to.length + 1)}`;
    way.lines.push(`${source}${wordsOf(transition)}${target}`);
  }
  return [...ways.values()];
}

/** The child of a state that another state is, or is in. */
function childOn(parent: ChartState, id: string): string | undefined {
  return parent.states.find((child) => id === child.id || id.startsWith(`${child.id}.`))?.id;
}

/** A transition to the state itself, or to one within it, is no way from one box to another: it is listed in the box. */
const staysWithin = ({ from, to }: ChartTransition): boolean =>
  to === undefined || to === from || from === "" || to.startsWith(`${from}.`);

const wordsOf = ({ event, guard }: ChartTransition): string => (guard === undefined ? event : `${event} [${guard}]`);

function linesOf(chart: Chart, state: ChartState): string[] {
  const doing = [
    ...state.invokes.map(({ id, src }) => (id === src ? `runs ${src}` : `runs ${src} as ${id}`)),
    ...state.entry.map((action) => `entry / ${action}`),
    ...state.exit.map((action) => `exit / ${action}`),
  ];
  const ways = chart.transitions.filter((way) => way.from === state.id && staysWithin(way));
  return [...doing, ...ways.map((way) => inBox(way))];
}

function inBox(way: ChartTransition): string {
  const { from, to, actions } = way;
  const target =
    to === undefined ? "" : to === from ? " → itself" : ` → ${from === "" ? to : to.slice(from.length + 1)}`;
  const acts = actions.length === 0 ? "" : ` / ${actions.join(", ")}`;
  return `${wordsOf(way)}${target}${acts}`;
}
