/** A drawing as an SVG file of its own, in the reader's light or dark colours. */
import { type Drawing, type DrawnEdge, type DrawnState, LETTER, type Point, START_RADIUS } from "./layout.ts";

const MARGIN = 8;

/** Colours of the text and of the lines have a contrast of more than 4.5 on their ground, in both schemes. */
const STYLE = `
  svg { --ground: #ffffff; --box: #f6f8fa; --line: #57606a; --ink: #1f2328; --dim: #57606a; --tag: #0550ae }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #0d1117; --box: #161b22; --line: #8b949e; --ink: #e6edf3; --dim: #a1abb5; --tag: #79c0ff }
  }
  .ground { fill: var(--ground) }
  .state { fill: var(--box); stroke: var(--line) }
  .atomic, .final { fill: var(--ground) }
  .final { stroke-width: 3 }
  text { font: ${LETTER.size}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--dim); white-space: pre }
  .name { font-weight: 700; fill: var(--ink) }
  .tag { fill: var(--tag) }
  .edge { fill: none; stroke: var(--line) }
  .head, .start { fill: var(--line) }
  .label { fill: var(--box); opacity: 0.85 }
  .way { fill: var(--ink); text-anchor: middle }
`;

/** Every state has its id in `data-state`. */
export function svgOf(drawing: Drawing): string {
  const width = drawing.width + 2 * MARGIN;
  const height = drawing.height + 2 * MARGIN;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${-MARGIN} ${-MARGIN} ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="The ${escaped(drawing.id)} machine">
<style>${STYLE}</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>
<rect class="ground" x="${-MARGIN}" y="${-MARGIN}" width="${width}" height="${height}"/>
${drawing.states.map(stateOf).join("\n")}
${drawing.edges.map(edgeOf).join("\n")}
</svg>
`;
}

function stateOf({ state, x, y, width, height, lines }: DrawnState): string {
  const tags = state.tags.map((tag) => `<tspan class="tag"> #${escaped(tag)}</tspan>`).join("");
  const texts = lines.map((line, index) => {
    const at = y + LETTER.title + 8 + (index + 0.5) * LETTER.line;
    return `<text x="${x + 12}" y="${at}">${escaped(line)}</text>`;
  });
  return [
    `<g data-state="${escaped(state.id)}">`,
    `<rect class="state ${state.type}" x="${x}" y="${y}" width="${width}" height="${height}" rx="6"/>`,
    `<text class="name" x="${x + 12}" y="${y + 17}">${escaped(state.key)}${tags}</text>`,
    ...texts,
    "</g>",
  ].join("");
}

function edgeOf({ from, points, lines, label, transitions }: DrawnEdge): string {
  const start = from === undefined ? `<circle class="start" cx="${label.x}" cy="${label.y}" r="${START_RADIUS}"/>` : "";
  const path = `<path class="edge" marker-end="url(#head)" d="${curve(points)}"/>`;
  const width = Math.max(0, ...lines.map(({ length }) => length)) * LETTER.width + 6;
  const height = lines.length * LETTER.line;
  const top = label.y - height / 2;
  const ground =
    lines.length === 0
      ? ""
      : `<rect class="label" x="${label.x - width / 2}" y="${top}" width="${width}" height="${height}"/>`;
  const texts = lines.map((line, index) => {
    const { actions = [] } = transitions[index] ?? {};
    const title = actions.length === 0 ? "" : `<title>${escaped(actions.join(", "))}</title>`;
    return `<text class="way" x="${label.x}" y="${top + (index + 0.75) * LETTER.line}">${title}${escaped(line)}</text>`;
  });
  return `<g>${start}${path}${ground}${texts.join("")}</g>`;
}

/** Through the middles between the bends, so that it is smooth. */
function curve(points: readonly Point[]): string {
  const [first, ...rest] = points;
  const last = rest.pop();
  if (first === undefined || last === undefined) return "";
  const bends = rest.map((bend, index) => {
    const next = rest[index + 1] ?? last;
    return `Q${bend.x} ${bend.y} ${(bend.x + next.x) / 2} ${(bend.y + next.y) / 2}`;
  });
  return [`M${first.x} ${first.y}`, ...bends, `L${last.x} ${last.y}`].join("");
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
