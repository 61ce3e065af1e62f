/** From threads to rows: agents under the thread that started them, forks under their source. Pure. */

export type Kinship = {
  readonly id: string;
  readonly parent: string | null;
  readonly fork: string | null;
  readonly createdAt: number;
};

type Edge = "root" | "agent" | "fork";

export type Shown<T> = {
  readonly row: T;
  readonly depth: number;
  readonly edge: Edge;
  /** How many are under it, at any depth; 0 for a leaf. */
  readonly under: number;
  readonly isFolded: boolean;
  /** Shown only since something under it was found. */
  readonly isPassing: boolean;
  readonly place: number;
  readonly siblings: number;
  /** The row that it stands under. */
  readonly above: Shown<T> | undefined;
};

/** A hairline beside a row: through it to the next sibling of what it stands for, or to this row itself, and on or not. */
export type Guide = { readonly level: number; readonly edge: Edge; readonly kind: "through" | "branch" | "last" };

/** The lines that lead to the rows under each level, of the levels that are drawn: outer ones first. */
export function guidesOf<T>(shown: Shown<T>, deepest: number): Guide[] {
  const guides: Guide[] = [];
  for (let at: Shown<T> | undefined = shown; at?.above !== undefined; at = at.above) {
    if (at.depth > deepest) continue;
    const isLast = at.place === at.siblings;
    const level = at.depth - 1;
    if (at === shown) guides.push({ level, edge: at.edge, kind: isLast ? "last" : "branch" });
    else if (!isLast) guides.push({ level, edge: at.edge, kind: "through" });
  }
  return guides.reverse();
}

export type View<T> = {
  readonly isFolded: (id: string) => boolean;
  /** undefined: all are shown. */
  readonly fits: ((row: T) => boolean) | undefined;
};

type Node<T> = { readonly row: T; readonly edge: Edge; readonly children: Node<T>[]; under: number; hits: number };

/** The rows that are shown, in order. What is found is shown with all above it. Never recurses: trees may be deep. */
export function rowsShown<T extends Kinship>(rows: ReadonlyMap<string, T>, { isFolded, fits }: View<T>): Shown<T>[] {
  const roots = treeOf(rows);
  const order = walk(roots);
  for (let at = order.length - 1; at >= 0; at -= 1) {
    const node = order[at];
    if (node === undefined) continue;
    node.hits = fits === undefined || fits(node.row) ? 1 : 0;
    for (const child of node.children) {
      node.under += 1 + child.under;
      node.hits += child.hits;
    }
  }
  const shown: Shown<T>[] = [];
  type Step = { readonly node: Node<T> } & Pick<Shown<T>, "depth" | "place" | "siblings" | "above">;
  const stepsOf = (nodes: readonly Node<T>[], depth: number, above: Shown<T> | undefined): Step[] => {
    const kept = nodes.filter(({ hits }) => hits > 0);
    return kept.map((node, index) => ({ node, depth, place: index + 1, siblings: kept.length, above })).reverse();
  };
  const open = stepsOf(roots, 0, undefined);
  for (let step = open.pop(); step !== undefined; step = open.pop()) {
    const { node, depth, place, siblings, above } = step;
    const { row, edge, under, children } = node;
    const folded = under > 0 && isFolded(row.id);
    const isPassing = fits !== undefined && !fits(row);
    const made = { row, depth, edge, under, isFolded: folded, isPassing, place, siblings, above };
    shown.push(made);
    if (!folded) for (const next of stepsOf(children, depth + 1, made)) open.push(next);
  }
  return shown;
}

function treeOf<T extends Kinship>(rows: ReadonlyMap<string, T>): Node<T>[] {
  const nodes = new Map<string, Node<T>>();
  for (const row of rows.values()) {
    const above = aboveOf(row, rows);
    const edge = above === undefined ? "root" : row.parent === above ? "agent" : "fork";
    nodes.set(row.id, { row, edge, children: [], under: 0, hits: 0 });
  }
  const roots: Node<T>[] = [];
  for (const node of nodes.values()) {
    const above = nodes.get(aboveOf(node.row, rows) ?? "");
    (above?.children ?? roots).push(node);
  }
  for (const { children } of nodes.values()) children.sort((a, b) => a.row.createdAt - b.row.createdAt);
  roots.sort((a, b) => b.row.createdAt - a.row.createdAt);
  return withoutCircles(roots, nodes);
}

/** A thread that is not among the rows is nobody's parent here. */
const aboveOf = ({ id, parent, fork }: Kinship, rows: ReadonlyMap<string, Kinship>): string | undefined =>
  [parent, fork].find((each) => each !== null && each !== id && rows.has(each)) ?? undefined;

/** Threads that stand above each other in a circle are reached from no root: the oldest of each circle is made one. */
function withoutCircles<T extends Kinship>(roots: Node<T>[], nodes: ReadonlyMap<string, Node<T>>): Node<T>[] {
  const reached = new Set(walk(roots));
  if (reached.size === nodes.size) return roots;
  for (const node of nodes.values()) {
    if (reached.has(node)) continue;
    const root: Node<T> = { ...node, edge: "root", children: [] };
    reached.add(node);
    roots.push(root);
    const open = [{ from: node, to: root }];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const child of at.from.children) {
        if (reached.has(child)) continue;
        reached.add(child);
        const copy: Node<T> = { ...child, children: [] };
        at.to.children.push(copy);
        open.push({ from: child, to: copy });
      }
    }
  }
  return roots;
}

/** Each node before those under it. */
function walk<T>(roots: readonly Node<T>[]): Node<T>[] {
  const order: Node<T>[] = [];
  const open = [...roots];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    order.push(node);
    open.push(...node.children);
  }
  return order;
}
