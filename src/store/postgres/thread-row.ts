/** A thread's row: what lists and writers know of it, without its lines. */
import * as z from "zod";
import { type LeaseOwner, RolloutCorruptError } from "../../protocol/errors.ts";
import { type ThreadId, toTurnId } from "../../protocol/ids.ts";
import { parseRolloutLine, type RolloutItem, type SessionMeta } from "../../protocol/rollout.ts";
import { type LastTurn, NO_TURN } from "../last-turn.ts";
import { placeOf } from "../place.ts";
import { phraseOf, SEARCHED_CHARS, sourceKindOf, wordsOf } from "../thread-query.ts";
import type { StoredThread } from "../thread-store.ts";
import { factsOf, type ModelUse, previewOf, userTextOf } from "../thread-summary.ts";
import type { SqlRow } from "./database.ts";
import { type MarkState, NO_MARKS, readState } from "./marks.ts";

const json = <T>(schema: z.ZodType<T>) =>
  z.string().transform((text, context) => {
    const result = schema.safeParse(JSON.parse(text));
    if (result.success) return result.data;
    context.addIssue("it does not fit");
    return z.NEVER;
  });

/** The first user messages, each with its line, cut to what is searched. */
const messagesSchema = z.array(z.tuple([z.number(), z.string()]));
const gitSchema = z.object({
  git: z
    .object({ sha: z.string().nullable(), branch: z.string().nullable(), originUrl: z.string().nullable() })
    .nullable(),
});
const ownerSchema = z.object({ pid: z.number(), host: z.string(), since: z.string() });
const modelSchema = z.object({ model: z.string().nullable(), reasoningEffort: z.string().nullable() });

const rowSchema = z.object({
  t: z.coerce.number(),
  id: z.custom<ThreadId>((value) => typeof value === "string"),
  header: z.string(),
  began: z.string(),
  base: z.coerce.number().nullable(),
  start: z.coerce.number(),
  next: z.coerce.number(),
  epoch: z.coerce.number(),
  owner: json(ownerSchema).nullable(),
  state: z.string(),
  preview: json(z.string()).nullable(),
  preview_at: z.coerce.number().nullable(),
  messages: json(messagesSchema),
  model: json(modelSchema).nullable(),
  name: json(z.string()).nullable(),
  git: json(gitSchema).nullable(),
  updated: z.coerce.number(),
  archived: z.boolean(),
  deleted: z.boolean(),
  interrupted: z.boolean(),
  /** Empty: a turn whose id nobody knows. */
  open_turn: z.string().nullable(),
});

export type ThreadRow = z.infer<typeof rowSchema>;

/** What never changes of a thread. */
export type Origin = Pick<ThreadRow, "t" | "id" | "header" | "began" | "base" | "start">;

/** A thread as far as its lines are read: where they lie, how many there are, and what stands at their end. */
export type Extent = Origin & Pick<ThreadRow, "next"> & { readonly state: MarkState };

export const extentOf = (row: ThreadRow): Extent => ({ ...row, state: readState(row.state) });

export const ROW_COLUMNS = `t, id, header, began, base, start, next, epoch, owner, state, preview, preview_at, messages, model, name,
  git, updated, archived, deleted, interrupted, open_turn`;

/** What a row says of its owner; null for none, and for what no store wrote. */
export const readOwner = (text: unknown): LeaseOwner | null =>
  json(ownerSchema)
    .nullable()
    .catch(null)
    .parse(text ?? null);

/** @throws RolloutCorruptError for what no store wrote */
export function readRow(row: SqlRow): ThreadRow {
  const result = rowSchema.safeParse(row);
  if (result.success) return result.data;
  throw new RolloutCorruptError(`thread ${String(row.id)}`, "headless");
}

/** @throws RolloutCorruptError */
export function headerOf(row: Pick<ThreadRow, "id" | "header" | "began">): SessionMeta {
  const line = parseRolloutLine({ timestamp: row.began, type: "session_meta", payload: JSON.parse(row.header) });
  if (line?.type === "session_meta") return line.payload;
  throw new RolloutCorruptError(`thread ${row.id}`, "headless");
}

export function storedThreadOf(row: ThreadRow): StoredThread {
  return {
    ...factsOf(headerOf(row)),
    ...row.model,
    ...(row.git === null ? {} : { gitInfo: row.git.git }),
    rolloutPath: null,
    updatedAt: row.updated,
    preview: row.preview ?? "",
    name: row.name,
    archived: row.archived,
    ...lastTurnOf(row),
  };
}

const lastTurnOf = ({ interrupted, open_turn }: ThreadRow): LastTurn => ({
  interrupted,
  openTurn: open_turn === null ? null : { turnId: open_turn === "" ? null : toTurnId(open_turn) },
});

/** A `text` column holds no NUL. */
export const columnText = (text: string): string => text.replaceAll("\0", "\uFFFD");

/** What the columns that filters and lists go by say of a header. */
export function filedUnder(meta: SessionMeta) {
  const { createdAt, source, modelProvider, cwd, parentThreadId } = factsOf(meta);
  const kind = sourceKindOf(source);
  return {
    created: createdAt,
    kind,
    isSubagent: kind === "subagent",
    provider: modelProvider === null ? null : columnText(modelProvider),
    place: columnText(placeOf(cwd)),
    parent: parentThreadId === null ? null : columnText(parentThreadId),
  };
}

/** How a text is found: its words, and those of them that an index can hold. */
export type Words = { readonly words: string; readonly index: string[] };

const MAX_INDEXED_BYTES = 200_000;
const MAX_WORD = 200;
/** In the index of a text that has more words than it can hold. No word looks like it. */
export const MORE_WORDS = "~";

export function searchedWords(text: string): Words {
  const words = wordsOf(text);
  const index = new Set<string>();
  let bytes = 0;
  for (const word of words) {
    if (index.has(word)) continue;
    bytes += word.length * 3;
    if (word.length > MAX_WORD || bytes > MAX_INDEXED_BYTES) index.add(MORE_WORDS);
    else index.add(word);
  }
  return { words: phraseOf(words), index: [...index] };
}

/** What a thread's lines have said of it so far. */
export type Summary = {
  readonly preview: string | null;
  readonly previewAt: number | null;
  readonly messages: readonly (readonly [number, string])[];
  readonly model: ModelUse | null;
  readonly lastTurn: LastTurn;
  readonly state: MarkState;
};

export const NOTHING_SAID: Summary = {
  preview: null,
  previewAt: null,
  messages: [],
  model: null,
  lastTurn: NO_TURN,
  state: NO_MARKS,
};

export const summaryOf = (row: ThreadRow): Summary => ({
  preview: row.preview,
  previewAt: row.preview_at,
  messages: row.messages,
  model: row.model,
  lastTurn: lastTurnOf(row),
  state: readState(row.state),
});

/** Of what stands before the line `end`. */
export function summaryBefore({ preview, previewAt, messages }: Summary, end: number, state: MarkState): Summary {
  const isSeen = previewAt !== null && previewAt < end;
  return {
    preview: isSeen ? preview : null,
    previewAt: isSeen ? previewAt : null,
    messages: messages.filter(([ordinal]) => ordinal < end),
    model: null,
    lastTurn: NO_TURN,
    state,
  };
}

/** Takes in one line, but for what it does to marks. */
export function summarize(summary: Summary, item: RolloutItem, ordinal: number, model: ModelUse | undefined): Summary {
  const said = model === undefined ? summary : { ...summary, model };
  const text = userTextOf(item);
  if (text === undefined) return said;
  const seen = summary.previewAt === null ? { preview: previewOf(text), previewAt: ordinal } : {};
  const room = SEARCHED_CHARS - summary.messages.reduce((sum, [, part]) => sum + part.length, 0);
  const messages = room > 0 ? [...summary.messages, [ordinal, text.slice(0, room)] as const] : summary.messages;
  return { ...said, ...seen, messages };
}

export const searchedText = ({ preview, messages }: Summary): string =>
  [preview ?? "", ...messages.map(([, text]) => text)].join("\n");
