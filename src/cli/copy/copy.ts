import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { MovableStore, ThreadId } from "../../index.ts";
import { type CopyOutcome, type CopyStatus, copyThreads } from "../../store/copy-threads.ts";
import { placeOf } from "../../store/place.ts";
import { assertDatabaseUrl, isUrl, openDatabase, storeUrlOf } from "../database.ts";
import { describe, EXIT, Exit, UsageError } from "../failure.ts";
import { withFiles } from "../home.ts";
import { type HomeOption, homeOf } from "../home-folder.ts";
import { Interruption } from "../interruption.ts";
import { oneLine } from "../terminal/harmless.ts";
import { drained, type Io } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { Progress } from "../terminal/progress.ts";
import { findThreadId } from "../thread-locator.ts";

export type CopyCommandOptions = HomeOption & {
  readonly from?: string;
  readonly to: string;
  readonly json?: boolean;
};

/** Where threads are: a folder or the address of a database. */
type Place = { readonly folder: string } | { readonly url: string };

export async function copy(texts: readonly string[], options: CopyCommandOptions, io: Io): Promise<void> {
  const source = sourceOf(options, io);
  const target = placeNamed(options.to, "--to", io);
  if (isSame(source, target)) throw new UsageError("--from and --to are the same place");
  using interruption = new Interruption();
  const sum = new Sum(options, io);
  try {
    await within(source, io, (from) =>
      within(target, io, async (to) => {
        const ids = texts.length === 0 ? undefined : await namedThreads(texts, from, sum, io);
        using progress = new Progress(io);
        const onProgress = ({ done, total, lines }: { done: number; total: number; lines: number }) =>
          progress.show(() => `${shown(done)} of ${shown(total)} threads, ${shown(lines)} lines`);
        const outcomes = copyThreads({ from, to, ids, signal: interruption.signal, onProgress });
        for await (const outcome of outcomes) sum.take(outcome);
      }),
    );
  } catch (error) {
    sum.print();
    await drained(io.stdout);
    interruption.throwIfInterrupted();
    throw error;
  }
  sum.print();
  await drained(io.stdout);
  if (!sum.isWhole) throw new Exit(EXIT.failed);
}

function sourceOf(options: CopyCommandOptions, io: Io): Place {
  const { from } = options;
  const url = from === undefined ? storeUrlOf(options, io) : undefined;
  if (url !== undefined) return { url };
  const source = from === undefined ? { folder: homeOf(options, io) } : placeNamed(from, "--from", io);
  if ("folder" in source && statSync(source.folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UsageError(`there is no folder ${source.folder} to copy threads from`);
  }
  return source;
}

/** @throws UsageError */
function placeNamed(text: string, by: string, { cwd }: Io): Place {
  if (text === "") throw new UsageError(`${by} names nothing: give a folder or postgres://USER@HOST/DATABASE`);
  if (!isUrl(text)) return { folder: resolve(cwd(), text) };
  assertDatabaseUrl(text, by);
  return { url: text };
}

const isSame = (a: Place, b: Place): boolean =>
  "url" in a ? "url" in b && a.url === b.url : "folder" in b && placeOf(a.folder) === placeOf(b.folder);

async function within<T>(place: Place, io: Io, use: (store: MovableStore) => Promise<T>): Promise<T> {
  if ("folder" in place) return withFiles(place.folder, io, use);
  const store = await openDatabase(place.url);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** One that is not found does not keep the others back. */
async function namedThreads(texts: readonly string[], store: MovableStore, sum: Sum, io: Io): Promise<ThreadId[]> {
  const ids: ThreadId[] = [];
  for (const thread of texts) {
    try {
      ids.push(await findThreadId({ thread }, store, io));
    } catch (error) {
      sum.missed(thread, describe(error));
    }
  }
  return ids;
}

const shown = (count: number): string => count.toLocaleString("en");

/** What the copy came to, thread by thread. */
class Sum {
  readonly #counts: Record<CopyStatus, number> = { copied: 0, present: 0, differs: 0, busy: 0, failed: 0 };
  readonly #json: boolean;
  readonly #io: Io;
  readonly #out: LineWriter;
  #lines = 0;
  #incomplete = 0;

  constructor({ json = false }: CopyCommandOptions, io: Io) {
    this.#json = json;
    this.#io = io;
    this.#out = new LineWriter(io.stdout);
  }

  /** Whether all that was asked for is there now. */
  get isWhole(): boolean {
    const { differs, busy, failed } = this.#counts;
    return differs + busy + failed + this.#incomplete === 0;
  }

  missed(thread: string, why: string): void {
    this.#counts.failed += 1;
    this.#io.stderr.write(`error: ${thread}: ${why}\n`);
  }

  take(outcome: CopyOutcome): void {
    const { threadId, status, flattened, left, detail } = outcome;
    this.#counts[status] += 1;
    this.#lines += outcome.lines;
    if (left.length > 0) this.#incomplete += 1;
    if (this.#json) this.#out.json({ type: "thread", ...outcome });
    else if (status === "copied") {
      this.#out.line(`copied ${threadId}${flattened ? ", with what it inherits written out" : ""}`);
    } else if (status !== "present") this.#io.stderr.write(`${status}: ${threadId}: ${oneLine(detail ?? "")}\n`);
    if (this.#json) return;
    for (const why of left) this.#io.stderr.write(`left behind: ${threadId}: ${oneLine(why)}\n`);
  }

  print(): void {
    const { copied, present, differs, busy, failed } = this.#counts;
    if (this.#json) this.#out.json({ type: "copy", ...this.#counts, incomplete: this.#incomplete, lines: this.#lines });
    else {
      const rest = Object.entries({ "differ there": differs, busy, failed, "not all of them there": this.#incomplete });
      const troubles = rest.flatMap(([what, count]) => (count === 0 ? [] : [`${shown(count)} ${what}`]));
      const parts = [`${shown(copied)} copied (${shown(this.#lines)} lines)`, `${shown(present)} there already`];
      this.#out.line([...parts, ...troubles].join(", "));
    }
    this.#out.flush();
  }
}
