import { connect } from "../../cluster/connect.ts";
import { Board } from "../demo/board.ts";
import { viewFor } from "../demo/demo.ts";
import { orchestrate } from "../demo/orchestrator.ts";
import type { DemoSettings } from "../demo/view.ts";
import type { Io } from "../terminal/io.ts";

/** The demo's orchestrator, over the cluster: another `Threads`, the same program. @returns how many turns failed */
export async function playOnCluster(
  settings: DemoSettings & { readonly json?: boolean },
  { ingress }: { readonly ingress: string },
  { io, signal }: { readonly io: Io; readonly signal: AbortSignal },
): Promise<number> {
  const board = new Board();
  const view = viewFor(settings, board, io);
  const startedAt = performance.now();
  const threads = connect({ ingress, signal });
  try {
    view.begin(settings);
    try {
      await orchestrate({
        ...settings,
        manager: threads,
        signal,
        onEnter: (entry) => board.enter(entry),
        onThread: (thread) => {
          thread.events$.subscribe((event) => {
            const row = board.take(event);
            if (row !== undefined) view.event(event, row);
          });
        },
        onNote: (note) => {
          if (note.action === "remove") board.remove(note.threadId);
          view.note(note, board.row(note.threadId));
        },
      });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    const elapsedMs = performance.now() - startedAt;
    const shutdown = await threads.shutdown();
    view.end(board, { elapsedMs, shutdown, interrupted: signal.aborted });
    return board.total((row) => row.failed);
  } finally {
    view.close();
    await threads[Symbol.asyncDispose]();
  }
}
