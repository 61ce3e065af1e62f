/** What can be done to threads, by the app-server's own methods. A thread that is not in memory is loaded to act on it. */
import { signal } from "@preact/signals";
import { rereadThread, turns } from "./conversation.ts";
import { attempt, familyOf, nameOf, note, request, rows, select, selected, shape } from "./state.ts";

/** Where a fork leaves its source: after a turn, before a message's turn, or where the source is now. */
export type ForkPlace = { readonly lastTurnId: string } | { readonly beforeTurnId: string } | object;

async function load(threadId: string): Promise<void> {
  const status = rows.get(threadId)?.live.peek().status;
  if (status !== "notLoaded" && status !== undefined) return;
  await request("thread/resume", { threadId, excludeTurns: true });
  await onlyLook(threadId);
}

/** Whoever loads or makes a thread follows it, its agents too: the page looks instead, at what is selected. */
async function onlyLook(threadId: string): Promise<void> {
  await request("thread/unsubscribe", { threadId });
  if (selected.peek() === threadId) await request("skein/thread/watch", { threadId });
}

export const send = (threadId: string, text: string): Promise<boolean> =>
  done("Sending", async () => {
    await load(threadId);
    const running = turns.peek().findLast(({ head }) => head.peek().status === "inProgress");
    const input = [{ type: "text", text }];
    const isActive = ["active", "waiting"].includes(rows.get(threadId)?.live.peek().status ?? "");
    if (isActive && running !== undefined) {
      await request("turn/steer", { threadId, input, expectedTurnId: running.id });
    } else await request("turn/start", { threadId, input });
  });

export const fork = (threadId: string, place: ForkPlace): Promise<boolean> =>
  done("The fork", async () => {
    const { thread } = await request<{ thread: { id: string } }>("thread/fork", {
      threadId,
      excludeTurns: true,
      ...place,
    });
    await request("thread/unsubscribe", { threadId: thread.id });
    await shown(thread.id);
    note(`Forked ${nameOf(rows.get(threadId) ?? { id: threadId, label: "" })}.`);
    select(thread.id);
  });

export const startThread = (): Promise<boolean> =>
  done("A new thread", async () => {
    const { thread } = await request<{ thread: { id: string } }>("thread/start", {});
    await request("thread/unsubscribe", { threadId: thread.id });
    await shown(thread.id);
    select(thread.id);
  });

/** Resolves when the tree has the thread. */
function shown(threadId: string): Promise<void> {
  if (rows.has(threadId)) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = shape.subscribe(() => {
      if (!rows.has(threadId)) return;
      resolve();
      queueMicrotask(() => stop());
    });
    setTimeout(resolve, 3_000);
  });
}

/** Threads whose interrupt is under way. */
export const interrupting = signal<ReadonlySet<string>>(new Set());

export async function interrupt(threadId: string): Promise<boolean> {
  interrupting.value = new Set([...interrupting.value, threadId]);
  const isDone = await done("The interrupt", () => request("turn/interrupt", { threadId, turnId: "" }));
  interrupting.value = new Set([...interrupting.value].filter((id) => id !== threadId));
  return isDone;
}

export const interruptFamily = (root: string): Promise<boolean> =>
  done("The interrupt", async () => {
    const told = await request<{ interrupted: string[]; running?: string[] }>("skein/subtree/interrupt", { root });
    const { interrupted, running = [] } = told;
    if (running.length > 0) throw new Error(`${running.length} go on all the same; ${interrupted.length} have ended.`);
    note(interrupted.length === 0 ? "Nothing was running." : `Interrupted ${interrupted.length}.`);
  });

export const rollBackTo = (threadId: string, beforeTurnId: string): Promise<boolean> =>
  done("Rolling back", async () => {
    await load(threadId);
    await request("thread/revert", { threadId, beforeTurnId });
    await rereadThread();
  });

export const compact = (threadId: string): Promise<boolean> =>
  done("Compacting", async () => {
    await load(threadId);
    await request("thread/compact/start", { threadId });
  });

export const archive = (threadId: string, isArchived: boolean): Promise<boolean> =>
  done(isArchived ? "Unarchiving" : "Archiving", () =>
    request(isArchived ? "thread/unarchive" : "thread/archive", { threadId }),
  );

export const remove = (threadId: string): Promise<boolean> =>
  done("Deleting", () => request("thread/delete", { threadId }));

export const rename = (threadId: string, name: string): Promise<boolean> =>
  done("Renaming", () => request("thread/name/set", { threadId, name }));

/** The lines of a thread and of all under it, as they are stored, in one file. */
export const save = (root: string): Promise<boolean> =>
  done("Saving", async () => {
    const parts: string[] = [];
    for (const { id } of familyOf(root, { forks: true })) {
      for (let from: number | null = 0; from !== null; ) {
        const page: { lines: unknown[]; next: number | null } = await request("skein/rollout/read", {
          threadId: id,
          from,
        });
        parts.push(...page.lines.map((line) => `${JSON.stringify(line)}\n`));
        from = page.next;
      }
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(parts, { type: "application/jsonl" }));
    link.download = `skein-${root.slice(-12)}.jsonl`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });

async function done(what: string, work: () => Promise<unknown>): Promise<boolean> {
  const result = await attempt(what, async () => {
    await work();
    return true;
  });
  return result === true;
}
