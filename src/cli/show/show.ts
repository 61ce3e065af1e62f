import type { RolloutLine, StoredThread, ThreadId, ThreadStore } from "../../index.ts";
import { withStore } from "../home.ts";
import { oneLine } from "../terminal/harmless.ts";
import { drained, type Io } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { type Paint, paintFor } from "../terminal/style.ts";
import { localOf } from "../terminal/table.ts";
import { findThread } from "../thread-locator.ts";
import { Conversation } from "./conversation.ts";

export type ShowOptions = {
  readonly home?: string;
  readonly store?: string;
  /** A number: how many of the last turns. true: the thread that was used last. */
  readonly last?: number | true;
  readonly all?: boolean;
  readonly json?: boolean;
};

type Facts = {
  readonly thread: StoredThread;
  readonly ancestors: readonly ThreadId[];
  readonly descendants: readonly ThreadId[];
};

export async function showThread(thread: string | undefined, options: ShowOptions, io: Io): Promise<void> {
  const out = new LineWriter(io.stdout);
  await withStore(options, io, async (store) => {
    const locator = await findThread({ thread, last: options.last !== undefined, all: options.all }, store, io);
    const facts = await factsOf(store, typeof locator === "string" ? locator : undefined);
    const lines = linesOf(store.load(locator));
    if (options.json) await printJson(facts, lines, out);
    else
      await printText(facts, lines, {
        out,
        paint: paintFor(io.stdout),
        last: options.last === true ? undefined : options.last,
      });
  });
  out.flush();
  await drained(io.stdout);
}

/** A file that lies elsewhere is shown without what only the home knows. */
async function factsOf(store: ThreadStore, threadId: ThreadId | undefined): Promise<Facts | undefined> {
  if (threadId === undefined) return undefined;
  const thread = await store.get(threadId);
  return { thread, ancestors: await store.ancestors(threadId), descendants: await store.descendants(threadId) };
}

async function* linesOf(pages: AsyncIterable<readonly RolloutLine[]>): AsyncGenerator<RolloutLine> {
  for await (const page of pages) yield* page;
}

async function printJson(facts: Facts | undefined, lines: AsyncIterable<RolloutLine>, out: LineWriter): Promise<void> {
  if (facts !== undefined) {
    const { thread, ancestors, descendants } = facts;
    out.json({ type: "thread", thread, ancestors, descendants });
  }
  for await (const line of lines) out.json(line);
}

type Page = { readonly out: LineWriter; readonly paint: Paint; readonly last: number | undefined };

async function printText(
  facts: Facts | undefined,
  lines: AsyncIterable<RolloutLine>,
  { out, paint, last }: Page,
): Promise<void> {
  for (const line of facts === undefined ? [] : headLines(facts, paint)) out.line(line);
  const conversation = new Conversation(paint);
  const kept: string[][] = [];
  const print = (turn: readonly string[]) => {
    for (const line of ["", ...turn]) out.line(line);
  };
  const keep = (turn: string[]) => {
    if (turn.length === 0) return;
    if (last === undefined) print(turn);
    else if (kept.push(turn) > last) kept.shift();
  };
  for await (const line of lines) keep(conversation.take(line));
  keep(conversation.end());
  for (const turn of kept) print(turn);
}

function headLines({ thread, ancestors, descendants }: Facts, paint: Paint): string[] {
  const source = typeof thread.source === "string" ? thread.source : "subagent";
  const facts: readonly (readonly [string, string | null])[] = [
    ["name", thread.name],
    ["created", `${localOf(thread.createdAt)}, updated ${localOf(thread.updatedAt)}`],
    ["folder", thread.cwd],
    ["provider", thread.modelProvider],
    ["started by", `${source}, version ${thread.cliVersion}`],
    ["agent of", thread.parentThreadId],
    ["forked from", ancestors.length === 0 ? thread.forkedFromId : ancestors.join(" < ")],
    ["forks", descendants.length === 0 ? null : descendants.join(" ")],
    ["archived", thread.archived ? "yes" : null],
    ["file", thread.rolloutPath],
  ];
  const shown = facts.filter((fact): fact is readonly [string, string] => fact[1] !== null && fact[1] !== "");
  return [
    `${paint("bold", "thread")} ${thread.threadId}`,
    ...shown.map(([label, value]) => `${paint("dim", label.padEnd(11))} ${oneLine(value)}`),
  ];
}
