/** A plot of cost against size as SVG: both axes by powers of ten, the median as a line, the extremes as whiskers. */

export type Point = { readonly x: number; readonly y: number; readonly min: number; readonly max: number };
type Series = { readonly label: string; readonly points: readonly Point[] };
export type Chart = {
  readonly title: string;
  readonly along: string;
  readonly up: string;
  readonly series: readonly Series[];
  readonly shown: (y: number) => string;
};

const WIDTH = 720;
const HEIGHT = 380;
const LEFT = 78;
const RIGHT = 210;
const TOP = 40;
const BOTTOM = 46;
/** Okabe and Ito's, which also who sees few colours tells apart; a mark of its own for each as well. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a86"];
const MARKS = ["circle", "square", "triangle", "diamond"] as const;
const LABEL_GAP = 16;

const STYLE = `
text{font:12px system-ui,sans-serif;fill:#333}
.title{font-size:14px;font-weight:600}
.ground{fill:#fff}
.grid{stroke:#ddd}
@media(prefers-color-scheme:dark){text{fill:#ddd}.ground{fill:#1a1b1e}.grid{stroke:#3a3b40}}`;

type Scale = { readonly at: (value: number) => number; readonly ticks: readonly number[] };

/** @throws Error when there is nothing to draw */
export function svgOf({ title, along, up, series, shown }: Chart): string {
  const points = series.flatMap(({ points: all }) => all);
  if (points.length === 0) throw new Error(`there is nothing to draw: ${title}`);
  const x = scaleOf(
    points.map(({ x: value }) => value),
    LEFT + 12,
    WIDTH - RIGHT - 12,
    "values",
  );
  const y = scaleOf(
    points.flatMap(({ min, max }) => [min, max]),
    HEIGHT - BOTTOM,
    TOP,
    "decades",
  );
  const parts = [
    `<text class="title" x="${LEFT}" y="22">${escaped(title)}</text>`,
    ...y.ticks.map((tick) => line(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick))),
    ...y.ticks.map((tick) => label(shown(tick), LEFT - 8, y.at(tick) + 4, "end")),
    ...x.ticks.map((tick) => label(tick.toLocaleString("en"), x.at(tick), HEIGHT - BOTTOM + 18, "middle")),
    label(along, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "middle"),
    `<text transform="rotate(-90)" x="${-(TOP + HEIGHT - BOTTOM) / 2}" y="14" text-anchor="middle">${escaped(up)}</text>`,
    ...series.map((one, index) => drawn(one, index, x, y)),
    ...labelsOf(series, y),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}"><style>${STYLE}
</style><rect class="ground" width="${WIDTH}" height="${HEIGHT}" rx="6"/>
${parts.join("\n")}
</svg>
`;
}

/** By powers of ten: ticks at the values that there are, or at each power between. */
function scaleOf(values: readonly number[], from: number, to: number, ticks: "values" | "decades"): Scale {
  const logs = values.filter((value) => value > 0).map(Math.log10);
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const [bottom, top] =
    ticks === "values" ? [low, high] : [Math.floor(low), Math.max(Math.ceil(high), Math.floor(low) + 1)];
  const at = (value: number) => {
    const share = top === bottom ? 0.5 : (Math.log10(Math.max(value, 10 ** bottom)) - bottom) / (top - bottom);
    return Number((from + share * (to - from)).toFixed(1));
  };
  const decades = Array.from({ length: top - bottom + 1 }, (_, step) => 10 ** (bottom + step));
  return { at, ticks: ticks === "values" ? [...new Set(values)].sort((a, b) => a - b) : decades };
}

function drawn({ points }: Series, index: number, x: Scale, y: Scale): string {
  const color = COLORS[index % COLORS.length] ?? "";
  const sorted = points.toSorted((a, b) => a.x - b.x);
  const path = sorted.map((point, at) => `${at === 0 ? "M" : "L"}${x.at(point.x)} ${y.at(point.y)}`).join("");
  const whiskers = sorted.map(
    (point) => `<path d="M${x.at(point.x)} ${y.at(point.min)}V${y.at(point.max)}" opacity=".5"/>`,
  );
  const marks = sorted.map((point) => mark(index, x.at(point.x), y.at(point.y)));
  return `<g fill="${color}" stroke="${color}" stroke-width="1.8"><path d="${path}" fill="none"/>${whiskers.join("")}${marks.join("")}</g>`;
}

function mark(index: number, x: number, y: number): string {
  switch (MARKS[index % MARKS.length]) {
    case "square":
      return `<rect x="${x - 3.5}" y="${y - 3.5}" width="7" height="7"/>`;
    case "triangle":
      return `<path d="M${x} ${y - 4.5}l4.5 8h-9z"/>`;
    case "diamond":
      return `<path d="M${x} ${y - 5}l5 5-5 5-5-5z"/>`;
    default:
      return `<circle cx="${x}" cy="${y}" r="3.8"/>`;
  }
}

/** Beside the last point of each, moved apart where they would lie on each other. */
function labelsOf(series: readonly Series[], y: Scale): string[] {
  const ends = series
    .map(({ label: text, points }, index) => {
      const last = points.reduce((a, b) => (b.x >= a.x ? b : a));
      return { text, index, at: y.at(last.y) };
    })
    .sort((a, b) => a.at - b.at);
  let above = Number.NEGATIVE_INFINITY;
  for (const end of ends) {
    end.at = Math.max(end.at, above + LABEL_GAP);
    above = end.at;
  }
  let below = HEIGHT - BOTTOM;
  for (const end of ends.toReversed()) {
    end.at = Math.min(end.at, below);
    below = end.at - LABEL_GAP;
  }
  const left = WIDTH - RIGHT + 12;
  return ends.map(({ text, index, at }) => {
    const color = COLORS[index % COLORS.length] ?? "";
    return `<g fill="${color}" stroke="${color}">${mark(index, left, at)}</g>${label(text, left + 12, at + 4, "start")}`;
  });
}

const line = (x1: number, y1: number, x2: number, y2: number): string =>
  `<path class="grid" d="M${x1} ${y1}L${x2} ${y2}"/>`;

const label = (text: string, x: number, y: number, anchor: "start" | "middle" | "end"): string =>
  `<text x="${Number(x.toFixed(1))}" y="${Number(y.toFixed(1))}" text-anchor="${anchor}">${escaped(text)}</text>`;

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
