/**
 * What the lives before have left undone of a thread: the turn that ran, and the ops that waited to be handled. Read from the
 * stored lines, for a life that is to go on with it (`recovery: "continue"`).
 */
import { type Submission, type Task, taskKindOf } from "../../machines/thread.machine.ts";
import { type SubmissionId, type ThreadId, type TurnId, toSubmissionId, toTurnId } from "../protocol/ids.ts";
import { type Op, parseOp } from "../protocol/op.ts";
import type { RolloutLine, SessionMeta, SubmissionItem } from "../protocol/rollout.ts";
import type { ThreadStore, ThreadWriter } from "../store/thread-store.ts";
import { OpenTurn } from "./open-turn.ts";
import { isNoState } from "./saved-state.ts";
import { WaitingLines } from "./waiting-lines.ts";

/** An op that was taken and is in no other line; `task` is the one that it starts or joins. */
type HeldOp = { readonly submission: Submission; readonly task: SubmissionId; readonly line: SubmissionItem };

/** What is to be gone on with, in order. */
export type OpenWork = { readonly task: Task; readonly queue: readonly Task[]; readonly held: readonly HeldOp[] };

/** Nothing, work to go on with, or a turn that nobody can go on with. */
export type Undone = { readonly work?: OpenWork; readonly deadTurn?: TurnId };

/** So many lines before the open turn, or before the end, are looked at for ops that wait: a turn's end repeats them. */
const LOOK_BACK = 256;

/**
 * Reads what is undone. Of a fork, only what the thread has begun itself: a turn that it inherits is its source's.
 *
 * @param limit how many lives may take a turn up after the first one
 * @throws what the store throws; the signal's reason
 */
export async function readOpenWork(
  { store, writer, header }: { store: ThreadStore; writer: ThreadWriter; header: SessionMeta },
  { limit, signal }: { limit: number; signal: AbortSignal | undefined },
): Promise<Undone> {
  const { threadId } = writer;
  const turnId = (await openTurnOf(store, threadId)) ?? undefined;
  const place = turnId === undefined ? undefined : await store.findTurn(threadId, turnId);
  const own = header.history_base?.end_ordinal_exclusive ?? 0;
  const start = place?.start.ordinal ?? writer.position().ordinal;
  const scanFrom = async (ordinal: number) => {
    const scan = new Scan(threadId, turnId);
    // Where no turn is open, nothing but ops that wait is looked for.
    const wants = turnId === undefined ? (type: string) => type === "submission" : isNoState;
    const range = { from: { ordinal }, wants, ...(signal === undefined ? {} : { signal }) };
    for await (const page of store.load(threadId, range)) for (const line of page) scan.add(line);
    return scan;
  };
  const near = await scanFrom(Math.max(own, start - LOOK_BACK));
  const scan = near.hadWaiting ? await scanFrom(own) : near;
  const isCopy = header.forked_from_id != null && header.history_base == null;
  return scan.undone(limit, { isCopy });
}

/** The turn that is open at the end of what is stored. */
export async function openTurnOf(store: ThreadStore, threadId: ThreadId): Promise<TurnId | null> {
  return (await store.forkBase(threadId, "full"))?.openTurn?.turnId ?? null;
}

class Scan {
  readonly #threadId: ThreadId;
  readonly #turn: OpenTurn | undefined;
  readonly #waiting = new WaitingLines();
  /** The first submission that is noted under the open turn. */
  #noted: string | undefined;
  #hadWaiting: boolean | undefined;

  constructor(threadId: ThreadId, turnId: TurnId | undefined) {
    this.#threadId = threadId;
    this.#turn = turnId === undefined ? undefined : new OpenTurn(threadId, turnId);
  }

  /** Whether ops waited as the turn began, or at the end where none is open. */
  get hadWaiting(): boolean {
    return this.#hadWaiting ?? this.#waiting.size > 0;
  }

  add(line: RolloutLine): void {
    if (line.type === "submission") this.#addSubmission(line.payload);
    this.#turn?.add(line);
    if (this.#turn?.hasBegun) this.#hadWaiting ??= this.#waiting.size > 0;
  }

  #addSubmission(item: SubmissionItem): void {
    if (item.thread_id !== this.#threadId) return;
    this.#waiting.add(item);
    if (item.turn_id != null && item.turn_id === this.#turn?.turnId) this.#noted ??= item.id;
  }

  undone(limit: number, { isCopy }: { isCopy: boolean }): Undone {
    const waiting = this.#waiting.all().flatMap((item) => readWaiting(item) ?? []);
    const turn = this.#turn;
    const open = turn && this.#taskOf(turn, waiting, { limit, isCopy });
    const work = workOf(open, [...waiting, ...(open && turn ? this.#opOf(turn, open, waiting) : [])]);
    return {
      ...(work !== undefined && { work }),
      ...(turn !== undefined && open === undefined && { deadTurn: turn.turnId }),
    };
  }

  /** undefined for a turn that can't be gone on with: one that nothing is known of, or a command that may have run. */
  #taskOf(
    turn: OpenTurn,
    waiting: readonly Waiting[],
    { limit, isCopy }: { limit: number; isCopy: boolean },
  ): Task | undefined {
    if (!turn.hasBegun || (isCopy && turn.task === undefined)) return undefined;
    const id = toSubmissionId(turn.task?.id ?? this.#noted ?? turn.turnId);
    const start = waiting.find(({ submission }) => submission.id === id)?.submission.op;
    const kind = turn.kind ?? (start && taskKindOf(start)) ?? "regular";
    const isKnown = start !== undefined || (kind === "regular" ? turn.hasItems : kind !== "user_shell");
    return isKnown ? { id, kind, turnId: turn.turnId, resumed: turn.resumption(limit) } : undefined;
  }

  /** What a turn works from, where its own line holds it. */
  #opOf({ task, turnId }: OpenTurn, { id }: Task, waiting: readonly Waiting[]): Waiting[] {
    if (task?.op === undefined || waiting.some(({ submission }) => submission.id === id)) return [];
    return [readWaiting({ thread_id: this.#threadId, id, turn_id: turnId, op: task.op }) ?? []].flat();
  }
}

/** Each op goes to the task that it was taken for; those without one begin tasks of their own, in order. */
function workOf(open: Task | undefined, waiting: readonly Waiting[]): OpenWork | undefined {
  const tasks = open === undefined ? [] : [open];
  const held: HeldOp[] = [];
  for (const { submission, line } of waiting) {
    const { id, op, turnId } = submission;
    const kind = taskKindOf(op);
    let task = tasks.find((each) => each.id === id || (turnId !== undefined && each.turnId === turnId));
    if (task === undefined && kind !== undefined) {
      task = { id, kind, ...(turnId && { turnId }) };
      tasks.push(task);
    }
    // Items that are only to be known go into the history with it, where nothing is to be done.
    task ??= tasks.at(-1);
    if (task !== undefined) held.push({ submission, task: task.id, line });
  }
  const [task, ...queue] = tasks;
  return task && { task, queue, held };
}

type Waiting = { readonly submission: Submission; readonly line: SubmissionItem };

/** undefined for what this version can't read. */
function readWaiting(item: SubmissionItem): Waiting | undefined {
  let op: Op;
  try {
    op = parseOp(item.op);
  } catch {
    return undefined;
  }
  const turnId = item.turn_id == null ? undefined : toTurnId(item.turn_id);
  return {
    submission: { id: toSubmissionId(item.id), op, ...(turnId && { turnId }) },
    line: item,
  };
}
