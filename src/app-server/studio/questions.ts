/** The questions of all threads in memory that wait for an answer. They are read of the threads, so none is missed or kept. */
import type { ThreadManager } from "../../manager/thread-manager.ts";
import type { EventMsg } from "../../protocol/event.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { FileChange, FileChanges } from "../../protocol/turn-item.ts";
import type { PendingApproval } from "../../turn/pending-approval.ts";
import { scriptOf } from "../v2/shown-command.ts";
import type { Question, QuestionChanges } from "./wire.ts";

export class Questions {
  readonly #manager: ThreadManager;
  readonly #open = new Map<ThreadId, Map<string, Question>>();
  #count = 0;

  constructor(manager: ThreadManager) {
    this.#manager = manager;
  }

  get size(): number {
    return this.#count;
  }

  get threads(): Iterable<ThreadId> {
    return this.#open.keys();
  }

  isAsking(threadId: ThreadId): boolean {
    return this.#open.has(threadId);
  }

  get all(): Question[] {
    return [...this.#open.values()].flatMap((questions) => [...questions.values()]);
  }

  /** Holds what is known against what these threads ask now. */
  reconcile(threadIds: Iterable<ThreadId>, now: number): QuestionChanges {
    const opened: Question[] = [];
    const resolved: { threadId: string; callId: string }[] = [];
    for (const threadId of [...threadIds]) {
      const known = this.#open.get(threadId) ?? new Map<string, Question>();
      const asked = this.#manager.loadedThread(threadId)?.pendingApprovals ?? [];
      const waiting = new Set(asked.map(({ callId }) => callId));
      for (const callId of [...known.keys()]) {
        if (waiting.has(callId)) continue;
        known.delete(callId);
        resolved.push({ threadId, callId });
      }
      for (const approval of asked) {
        const question = known.has(approval.callId) ? undefined : this.#questionOf(threadId, approval, now);
        if (question === undefined) continue;
        known.set(approval.callId, question);
        opened.push(question);
      }
      if (known.size === 0) this.#open.delete(threadId);
      else this.#open.set(threadId, known);
    }
    this.#count += opened.length - resolved.length;
    return { opened, resolved };
  }

  #questionOf(threadId: ThreadId, { turn, callId, msg }: PendingApproval, since: number): Question | undefined {
    const asked = wordsOf(msg);
    return (
      asked && {
        threadId,
        rootId: rootOf(this.#manager, threadId),
        callId,
        since,
        ...asked,
        turnId: asked.turnId || turn,
      }
    );
  }
}

/** The thread at the top of the tree of agents that this one is in. */
function rootOf(manager: ThreadManager, threadId: ThreadId): ThreadId {
  let root = threadId;
  for (let above = manager.parentOf(root); above !== undefined; above = manager.parentOf(root)) root = above;
  return root;
}

function wordsOf(msg: EventMsg): Pick<Question, "kind" | "turnId" | "command" | "diff" | "cwd" | "reason"> | undefined {
  if (msg.type === "exec_approval_request") {
    const { turn_id: turnId, cwd, reason = null } = msg;
    return { kind: "command", turnId, command: scriptOf(msg.command), diff: "", cwd, reason };
  }
  if (msg.type !== "apply_patch_approval_request") return undefined;
  const { turn_id: turnId, reason = null, changes } = msg;
  const command = Object.entries(changes)
    .map(([path, change]) => `${change.type} ${path}`)
    .join("\n");
  return { kind: "patch", turnId, command, diff: diffOf(changes), cwd: null, reason };
}

const diffOf = (changes: FileChanges): string =>
  Object.entries(changes)
    .map(([path, change]) => `${change.type} ${path}\n${bodyOf(change)}`)
    .join("\n");

function bodyOf(change: FileChange): string {
  if (change.type === "update") return change.unified_diff;
  const mark = change.type === "add" ? "+" : "-";
  return change.content.replace(/^/gm, mark);
}
