/**
 * Builds the page into dist/studio-page: one script, one style sheet, and the machines as they are laid out here, so that
 * neither the layout nor its library is in the page.
 */
import { cp, mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Graph, layout } from "@dagrejs/dagre";
import { build } from "esbuild";
import type { AnyStateMachine } from "xstate";
import { type Chart, type ChartState, chartOf } from "../../machines/chart.ts";
import { threadMachine, turnMachine } from "../../machines/index.ts";
import type { Picture } from "./page/picture.ts";

const PAGE = fileURLToPath(new URL("./page/", import.meta.url));
const TARGET = fileURLToPath(new URL("../../dist/studio-page/", import.meta.url));
const MACHINES: readonly AnyStateMachine[] = [turnMachine, threadMachine];

const LETTER = 6.6;
const HEAD = 18;
const PAD = 8;

type Box = { width: number; height: number; states: State[]; edges: Edge[] };
type State = Mutable<Picture["states"][number]>;
type Edge = { from: string; to: string; points: Point[]; ways: string[] };
type Point = { x: number; y: number };
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Smaller than docs/machines: names alone, as the picture stands in a column. Each level is laid out by itself. */
function pictureOf(machine: AnyStateMachine): Picture {
  const chart = chartOf(machine);
  const { width, height, states, edges } = levelOf(chart, chart.root);
  const drawn = edges.map(({ points, ...edge }) => ({ ...edge, path: pathOf(points) }));
  return { width: Math.ceil(width), height: Math.ceil(height), states, edges: drawn };
}

function levelOf(chart: Chart, parent: ChartState): Box {
  const graph = new Graph({ multigraph: false });
  graph.setGraph({ rankdir: "TB", nodesep: 16, ranksep: 24, edgesep: 10, marginx: 4, marginy: 4 });
  const boxes = new Map(parent.states.map((state) => [state.id, boxOf(chart, state)]));
  for (const [id, { width, height }] of boxes) graph.setNode(id, { width, height });
  const ways = waysWithin(chart, [...boxes.keys()]);
  for (const { from, to } of ways) graph.setEdge(from, to, {});
  layout(graph);
  const states = [...boxes].flatMap(([id, box]) => {
    const { x, y } = graph.node(id) as Point;
    for (const edge of box.edges)
      edge.points = edge.points.map((point) => shifted(point, x - box.width / 2, y - box.height / 2));
    return box.states.map((state) => ({ ...state, ...shifted(state, x - box.width / 2, y - box.height / 2) }));
  });
  const own = ways.map(
    (way): Edge => ({ ...way, points: (graph.edge(way.from, way.to) as { points: Point[] }).points }),
  );
  const edges = [...own, ...[...boxes.values()].flatMap((box) => box.edges)];
  // dagre's size leaves bends of edges out.
  const points = [
    ...edges.flatMap((edge) => edge.points),
    ...states.flatMap(({ x, y, width, height }) => [{ x, y }, shifted({ x, y }, width, height)]),
  ];
  const left = Math.min(...points.map(({ x }) => x));
  const top = Math.min(...points.map(({ y }) => y));
  return {
    width: Math.max(...points.map(({ x }) => x)) - left,
    height: Math.max(...points.map(({ y }) => y)) - top,
    states: states.map((state) => ({ ...state, ...shifted(state, -left, -top) })),
    edges: edges.map((edge) => ({ ...edge, points: edge.points.map((point) => shifted(point, -left, -top)) })),
  };
}

/** A state with those in it, its corner at 0, 0. */
function boxOf(chart: Chart, state: ChartState): Box {
  const { id, key, type } = state;
  const name = key.length * LETTER + 2 * PAD;
  if (state.states.length === 0) {
    const own = { id, key, type, x: 0, y: 0, width: name, height: 22, isBox: false };
    return { width: name, height: 22, states: [own], edges: [] };
  }
  const inner = levelOf(chart, state);
  const width = Math.max(name, inner.width + 2 * PAD);
  const height = inner.height + HEAD + PAD;
  const by: [number, number] = [(width - inner.width) / 2, HEAD];
  return {
    width,
    height,
    states: [
      { id, key, type, x: 0, y: 0, width, height, isBox: true },
      ...inner.states.map((each) => ({ ...each, ...shifted(each, ...by) })),
    ],
    edges: inner.edges.map((edge) => ({ ...edge, points: edge.points.map((point) => shifted(point, ...by)) })),
  };
}

const shifted = ({ x, y }: Point, dx: number, dy: number): Point => ({ x: x + dx, y: y + dy });

/** The transitions from one of these states to another, however deep they begin and end. */
function waysWithin({ transitions }: Chart, ids: readonly string[]): Omit<Edge, "points">[] {
  const holderOf = (id: string) => ids.find((each) => id === each || id.startsWith(`${each}.`));
  const ways = new Map<string, Omit<Edge, "points">>();
  for (const { from: source, to: target, event, guard } of transitions) {
    const from = holderOf(source);
    const to = target === undefined ? undefined : holderOf(target);
    if (from === undefined || to === undefined || from === to) continue;
    const way = ways.get(`${from} ${to}`) ?? { from, to, ways: [] };
    way.ways.push(guard === undefined ? event : `${event} [${guard}]`);
    ways.set(`${from} ${to}`, way);
  }
  return [...ways.values()];
}

/** Through the middles between the bends, so that it is smooth. */
function pathOf(points: readonly Point[]): string {
  const at = ({ x, y }: Point) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  const [first, ...rest] = points;
  const last = rest.pop();
  if (first === undefined || last === undefined) return "";
  const bends = rest.map((bend, index) => {
    const next = rest[index + 1] ?? last;
    return `Q${at(bend)} ${at({ x: (bend.x + next.x) / 2, y: (bend.y + next.y) / 2 })}`;
  });
  return `M${at(first)}${bends.join("")}L${at(last)}`;
}

await mkdir(TARGET, { recursive: true });
await build({
  entryPoints: [`${PAGE}main.tsx`],
  outfile: `${TARGET}studio.js`,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome120", "firefox121", "safari17.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "inline",
  logLevel: "warning",
});
for (const name of ["index.html", "studio.css", "icon.svg"]) await cp(`${PAGE}${name}`, `${TARGET}${name}`);
const pictures = Object.fromEntries(MACHINES.map((machine) => [machine.id, pictureOf(machine)]));
await writeFile(`${TARGET}machines.json`, JSON.stringify(pictures));
