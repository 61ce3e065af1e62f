/** The demo's threads as a tree: children under their parents, forks under their sources. */
import type { ThreadId } from "../../index.ts";
import type { Paint } from "../terminal/style.ts";
import { padEnd, padStart, widthOf } from "../terminal/text-width.ts";
import type { Board, Row, RowStatus } from "./board.ts";

const COLOURS: Record<RowStatus, Parameters<Paint>[0]> = {
  starting: "dim",
  running: "cyan",
  idle: "green",
  interrupted: "yellow",
  failed: "red",
  removed: "dim",
};

export const paintStatus = (paint: Paint, status: RowStatus, text: string = status): string =>
  paint(COLOURS[status], text);

const HEADINGS = ["thread", "status", "turns", "tokens", "ms"] as const;

/** A heading and a line for each thread, at most `maxRows` of them. */
export function treeLines(board: Board, paint: Paint, { maxRows }: { maxRows: number }): string[] {
  const branches = branchesOf(board, maxRows);
  const nameWidth = Math.max(HEADINGS[0].length, ...branches.map(({ prefix, label }) => widthOf(prefix + label)));
  const statusWidth = Math.max(HEADINGS[1].length, ...branches.map(({ row }) => row.status.length));
  const numbers = (values: readonly string[]) =>
    values.map((value, at) => padStart(value, HEADINGS[at + 2]?.length ?? 0).padStart(8)).join("");
  const heading = `${padEnd(HEADINGS[0], nameWidth)}  ${padEnd(HEADINGS[1], statusWidth)}${numbers(HEADINGS.slice(2))}`;
  const lines = branches.map(({ prefix, label, row }) => {
    const name = `${paint("dim", prefix)}${label.replace(row.name, paint("bold", row.name))}`;
    const gap = " ".repeat(nameWidth - widthOf(prefix + label));
    const status = paintStatus(paint, row.status, padEnd(row.status, statusWidth));
    return `${name}${gap}  ${status}${numbers([`${row.turns}`, `${row.tokens}`, `${row.ms}`])}`;
  });
  const left = board.size - branches.length;
  if (left > 0) lines.push(paint("dim", `… and ${left.toLocaleString("en")} more`));
  return [paint("underline", heading), ...lines];
}

type Branch = { readonly prefix: string; readonly label: string; readonly row: Row };

function branchesOf(board: Board, maxRows: number): Branch[] {
  const below = new Map<ThreadId | null, Row[]>();
  for (const row of board.rows) {
    const above = row.parentThreadId ?? row.forkedFromId;
    const siblings = below.get(above);
    if (siblings === undefined) below.set(above, [row]);
    else siblings.push(row);
  }
  const branches: Branch[] = [];
  const walk = (above: ThreadId | null, indent: string): void => {
    const rows = below.get(above) ?? [];
    rows.forEach((row, at) => {
      if (branches.length >= maxRows) return;
      const isLast = at === rows.length - 1;
      const isRoot = above === null;
      branches.push({ prefix: isRoot ? "" : `${indent}${isLast ? "└─ " : "├─ "}`, label: labelOf(row), row });
      walk(row.threadId, isRoot ? "" : `${indent}${isLast ? "   " : "│  "}`);
    });
  };
  walk(null, "");
  return branches;
}

function labelOf(row: Row): string {
  if (row.forkedFromId !== null) return `${row.name} (fork)`;
  return row.parentThreadId === null ? row.name : `${row.name} (agent)`;
}
