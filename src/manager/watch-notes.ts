/**
 * Where watches last: in a note beside whoever watches, as timers do. A monitor stands there until somebody has been told, one half of a
 * bond until it has ended its thread; what came to be of the watched meanwhile stands with it.
 */
import * as z from "zod";
import type { SkeinLogger } from "../kernel/log.ts";
import { isUuid, type ThreadId } from "../protocol/ids.ts";
import { SingleFlight } from "../services/single-flight.ts";
import type { StandingNotes } from "../store/standing-notes.ts";
import type { DownReason } from "../thread/watching.ts";

const REASONS: { readonly [R in DownReason]: R } = {
  normal: "normal",
  shutdown: "shutdown",
  killed: "killed",
  crashed: "crashed",
  gaveUp: "gaveUp",
  lost: "lost",
  refused: "refused",
  not_found: "not_found",
};

const watchSchema = z.object({
  ref: z.string(),
  /** Who is watched. */
  threadId: z.custom<ThreadId>((value) => typeof value === "string" && isUuid(value)),
  /** `bond`: the end of the watched is to end the watcher, but where it `traps`. */
  kind: z.enum(["monitor", "bond"]),
  traps: z.boolean(),
  /** What the watcher is still to be told. */
  down: z.object({ reason: z.enum(REASONS), epoch: z.number().nullable(), error: z.string().optional() }).optional(),
});
const noteSchema = z.array(watchSchema);

/** A watch as it is stored. */
export type StoredWatch = z.infer<typeof watchSchema>;

/** Whose notes they are. */
export interface WatchNotesHost {
  readonly logger: SkeinLogger;
  notesOf(config: { readonly ephemeral: boolean }): StandingNotes;
  configOf(threadId: ThreadId): { readonly ephemeral: boolean } | undefined;
}

export class WatchNotes {
  readonly #host: WatchNotesHost;
  readonly #writes = new SingleFlight<void, ThreadId>();
  readonly #written = new Set<ThreadId>();

  constructor(host: WatchNotesHost) {
    this.#host = host;
  }

  #of(threadId: ThreadId): StandingNotes {
    return this.#host.notesOf(this.#host.configOf(threadId) ?? { ephemeral: false });
  }

  /** What earlier processes have left. A note that can't be read is told of, and left alone. @throws StoreIoError */
  async recall(): Promise<Map<ThreadId, readonly StoredWatch[]>> {
    const found = new Map<ThreadId, readonly StoredWatch[]>();
    for (const threadId of await this.#host.notesOf({ ephemeral: false }).threads("watches"))
      found.set(threadId, await this.read(threadId));
    return found;
  }

  async read(threadId: ThreadId): Promise<readonly StoredWatch[]> {
    const note = await this.#of(threadId).read(threadId, "watches");
    if (note === undefined) return [];
    this.#written.add(threadId);
    const { success, data, error } = noteSchema.safeParse(note);
    if (!success) this.#host.logger.warn({ threadId, err: error }, "a thread's watches could not be read");
    return data ?? [];
  }

  /** Resolves when what `watches` gives is stored. @throws StoreIoError */
  write(threadId: ThreadId, watches: () => Promise<readonly StoredWatch[]>): Promise<void> {
    return this.#writes.ask(threadId, async () => {
      const now = await watches();
      if (now.length === 0 && !this.#written.has(threadId)) return;
      if (now.length > 0) this.#written.add(threadId);
      await this.#of(threadId).write(threadId, "watches", now.length === 0 ? undefined : now);
      if (now.length === 0) this.#written.delete(threadId);
    });
  }

  /** Resolves when nothing of the thread is being written any more. */
  rest(threadId: ThreadId): Promise<void> {
    return this.#writes.rest(threadId);
  }

  /** Resolves when nothing is being written any more. */
  settled(): Promise<void> {
    return this.#writes.settled();
  }
}
