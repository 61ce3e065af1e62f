/** The rows of the tree as a terminal keeps and shows them. */
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import { duration, shortId } from "../../studio/page/words.ts";
import type { Format } from "../terminal/style.ts";
import type { Line } from "./line.ts";

const status = z.enum(["active", "waiting", "failed", "idle", "notLoaded"]);
const tokens = z.number().nullable();
const live = [status, tokens, tokens, tokens, z.number(), z.number(), z.string(), tokens] as const;
const rowSchema = z.tuple([
  z.string(),
  z.string().nullable(),
  z.string().nullable(),
  z.string(),
  z.string().nullable(),
  z.string().nullable(),
  z.number(),
  z.boolean(),
  ...live,
]);
const pageSchema = z.object({ rows: z.array(rowSchema), nextCursor: z.string().nullable() });
const changesSchema = z.object({
  rows: z.array(rowSchema),
  patches: z.array(z.tuple([z.string(), ...live])),
  removed: z.array(z.string()),
});

type WireRow = z.infer<typeof rowSchema>;
export type TreeChanges = z.infer<typeof changesSchema>;

export type Row = {
  readonly id: string;
  readonly parent: string | null;
  readonly fork: string | null;
  readonly label: string;
  readonly role: string | null;
  readonly model: string | null;
  readonly createdAt: number;
  readonly status: z.infer<typeof status>;
  readonly tokensIn: number | null;
  readonly tokensCached: number | null;
  readonly tokensOut: number | null;
  readonly pending: number;
  readonly lastAt: number;
  readonly doing: string;
};

const rowOf = (given: WireRow): Row => {
  const [
    id,
    parent,
    fork,
    label,
    role,
    model,
    createdAt,
    ,
    state,
    tokensIn,
    tokensCached,
    tokensOut,
    pending,
    lastAt,
    doing,
  ] = given;
  return {
    id,
    parent,
    fork,
    label,
    role,
    model,
    createdAt,
    status: state,
    tokensIn,
    tokensCached,
    tokensOut,
    pending,
    lastAt,
    doing,
  };
};

export const MARKS: Readonly<Record<Row["status"], string>> = {
  active: "▶",
  waiting: "‖",
  failed: "▲",
  idle: "○",
  notLoaded: "·",
};
export const STYLES: Readonly<Record<Row["status"], Format>> = {
  active: "cyan",
  waiting: "yellow",
  failed: "red",
  idle: "dim",
  notLoaded: "dim",
};

export const titleOf = ({ label, id }: Row): string => label || shortId(id);

export const agoOf = ({ lastAt }: Row, now: number): string =>
  lastAt === 0 ? "" : duration(Math.max(0, now - lastAt));

/** All threads, and what becomes of them while they are watched. */
export class Rows {
  readonly all = new Map<string, Row>();

  async read(line: Line): Promise<void> {
    let cursor: string | null = null;
    do {
      const params: object = { limit: 2_000, ...(cursor !== null && { cursor }) };
      const page: z.infer<typeof pageSchema> = await line.ask(pageSchema, "skein/tree/read", params);
      for (const row of page.rows) this.all.set(row[0], rowOf(row));
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  /** All of them anew. @returns those that have changed, and the ids of those that are gone */
  async readAnew(line: Line): Promise<{ changed: Row[]; removed: string[] }> {
    const before = new Map(this.all);
    this.all.clear();
    await this.read(line);
    return {
      changed: [...this.all.values()].filter((row) => !isDeepStrictEqual(row, before.get(row.id))),
      removed: [...before.keys()].filter((id) => !this.all.has(id)),
    };
  }

  /** Watches first, so that nothing is missed between. */
  async watch(line: Line, onChange: (changes: TreeChanges) => void): Promise<void> {
    line.on(changesSchema, "skein/tree/changed", (changes) => {
      for (const row of changes.rows) this.all.set(row[0], rowOf(row));
      for (const patch of changes.patches) this.#patch(patch);
      for (const id of changes.removed) this.all.delete(id);
      onChange(changes);
    });
    await line.ask(z.unknown(), "skein/tree/watch", { everyMs: 200 });
    await this.read(line);
  }

  #patch([id, state, tokensIn, tokensCached, tokensOut, pending, lastAt, doing]: TreeChanges["patches"][number]): void {
    const row = this.all.get(id);
    if (row === undefined) return;
    this.all.set(id, {
      ...row,
      status: state,
      tokensIn: tokensIn ?? row.tokensIn,
      tokensCached: tokensCached ?? row.tokensCached,
      tokensOut: tokensOut ?? row.tokensOut,
      pending,
      lastAt: lastAt || row.lastAt,
      doing,
    });
  }
}
