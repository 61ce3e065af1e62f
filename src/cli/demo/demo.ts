import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileStore, scriptedClient, ThreadManager, type ThreadStore } from "../../index.ts";
import { openDatabase, storeUrlOf } from "../database.ts";
import { EXIT, Exit } from "../failure.ts";
import { Interruption } from "../interruption.ts";
import { drained, type Io, isTerminal } from "../terminal/io.ts";
import { Board } from "./board.ts";
import { driveMinutes } from "./drive-minutes.ts";
import { JsonView } from "./json-view.ts";
import { LiveView } from "./live-view.ts";
import { orchestrate } from "./orchestrator.ts";
import { PlainView } from "./plain-view.ts";
import { demoScript } from "./scenes.ts";
import type { DemoSettings, DemoView } from "./view.ts";

export type DemoOptions = DemoSettings & {
  readonly json?: boolean;
  readonly home?: string;
  readonly store?: string;
  readonly studio?: boolean;
  readonly open?: boolean;
};

/** How long a word takes on a terminal; nowhere else does anything wait. */
const WORD_MS = 28;

export async function runDemo(options: DemoOptions, io: Io): Promise<void> {
  using interruption = new Interruption();
  if (options.studio === true) {
    const { playForStudio } = await import("./studio-demo.ts");
    await withStore(options, io, (store) => playForStudio(options, { store, io, signal: interruption.signal }));
    interruption.throwIfInterrupted();
    return;
  }
  const board = new Board();
  const view = viewFor(options, board, io);
  try {
    await withStore(options, io, (store) =>
      play(options, { store, board, view, interruption, paceMs: view instanceof LiveView ? WORD_MS : 0 }),
    );
  } finally {
    view.close();
    await drained(io.stdout);
  }
  interruption.throwIfInterrupted();
  if (board.total((row) => row.failed) > 0) throw new Exit(EXIT.failed);
}

export function viewFor({ json }: Pick<DemoOptions, "json">, board: Board, { stdout, env }: Io): DemoView {
  if (json) return new JsonView(stdout);
  return isTerminal(stdout, env) ? new LiveView(stdout, board) : new PlainView(stdout);
}

/** Threads of a demo last as long as the demo does, unless a home or a database is named for them. */
async function withStore(
  { home, store: address }: DemoOptions,
  { cwd }: Io,
  use: (store: ThreadStore) => Promise<void>,
): Promise<void> {
  // SKEIN_STORE is for threads that are to last.
  const url = storeUrlOf({ store: address ?? "" }, { env: {} });
  using temporary = home === undefined ? new TemporaryFolder() : undefined;
  const folder = temporary?.path ?? resolve(cwd(), home ?? ".");
  const files = { home: folder, ...(temporary !== undefined && { fsync: "never" as const }) };
  const store = url === undefined ? fileStore(files) : await openDatabase(url);
  try {
    await use(store);
  } finally {
    await store.close();
  }
}

type Props = {
  readonly store: ThreadStore;
  readonly board: Board;
  readonly view: DemoView;
  readonly interruption: Interruption;
  readonly paceMs: number;
};

async function play(settings: DemoSettings, { store, board, view, interruption, paceMs }: Props): Promise<void> {
  const startedAt = performance.now();
  const { signal } = interruption;
  await using manager = await ThreadManager.create({
    store,
    model: scriptedClient(demoScript(paceMs)),
    sessionSource: "cli",
  });
  manager.events$.subscribe((event) => {
    const row = board.take(event);
    if (row !== undefined) view.event(event, row);
  });
  // An interruption ends whatever runs, at once and in order; the turns then tell that they were interrupted.
  const onAbort = () => void manager.shutdown();
  signal.addEventListener("abort", onAbort, { once: true });
  view.begin(settings);
  try {
    await orchestrate({
      ...settings,
      manager,
      supervisor: manager.supervisor,
      signal,
      tool: driveMinutes,
      onEnter: (entry) => board.enter(entry),
      onNote: (note) => {
        if (note.action === "remove") board.remove(note.threadId);
        view.note(note, board.row(note.threadId));
      },
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  const elapsedMs = performance.now() - startedAt;
  view.end(board, { elapsedMs, shutdown: await manager.shutdown(), interrupted: signal.aborted });
}

/** A folder that is gone at the end, also when the process exits in the middle of its work. */
class TemporaryFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "skein-demo-"));

  constructor() {
    process.once("exit", this.#remove);
  }

  readonly #remove = (): void => rmSync(this.path, { recursive: true, force: true, maxRetries: 3 });

  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    this.#remove();
  }
}
