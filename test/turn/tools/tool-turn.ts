/** Runs turns of a scripted model with the tools of the house, and gives what was said meanwhile. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext } from "node:test";
import type { ThreadManagerOptions } from "../../../src/manager/options.ts";
import { ThreadManager } from "../../../src/manager/thread-manager.ts";
import type { Script } from "../../../src/model/script.ts";
import { type ScriptedClient, scriptedClient } from "../../../src/model/scripted-client.ts";
import type { EventKind, EventMsg, ThreadEvent } from "../../../src/protocol/event.ts";
import type { ReviewDecision } from "../../../src/protocol/policy.ts";
import { textOf } from "../../../src/protocol/response-item.ts";
import type { ThreadConfig } from "../../../src/protocol/thread-config.ts";
import type { ApplyPatchApprovalRequestEvent, ExecApprovalRequestEvent } from "../../../src/protocol/tool-events.ts";
import { memoryStore } from "../../../src/store/memory/memory-store.ts";
import type { Thread } from "../../../src/thread/thread.ts";

export type Bench = {
  readonly manager: ThreadManager;
  readonly thread: Thread;
  readonly model: ScriptedClient;
  readonly cwd: string;
  /** Everything that the thread has said, in order. */
  readonly events: readonly ThreadEvent[];
  /** What the model was given as outputs of its calls, in order. */
  outputs(): string[];
  ofType<K extends EventKind>(type: K): Extract<EventMsg, { type: K }>[];
};

export const OPEN: ThreadConfig = {
  approvalPolicy: "never",
  sandboxMode: "danger-full-access",
  builtInTools: ["shell", "apply_patch", "update_plan"],
};

/** Those of all tests of a file. A test's own hooks run in the order in which they were given, so this cannot be one of them. */
const folders: string[] = [];
after(() => Promise.all(folders.map((path) => rm(path, { recursive: true, force: true }))));

/** A new folder, which goes when all tests of the file have ended, and so what still works in it. */
export async function folder(_t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "skein-tools-"));
  folders.push(path);
  return path;
}

export async function bench(
  t: TestContext,
  plays: Script,
  config: ThreadConfig = {},
  options: ThreadManagerOptions = {},
): Promise<Bench> {
  const cwd = config.cwd ?? (await folder(t));
  const model = scriptedClient(plays, { recordRequests: 100 });
  const manager = await ThreadManager.create({ model, store: memoryStore(), ...options });
  t.after(() => manager.shutdown());
  const { thread } = await manager.startThread({ ...OPEN, cwd, ...config });
  const events: ThreadEvent[] = [];
  thread.events$.subscribe((event) => events.push(event));
  return {
    manager,
    thread,
    model,
    cwd,
    events,
    outputs: () =>
      events.flatMap(({ msg }) =>
        msg.type === "raw_response_item" && msg.item.type.endsWith("_call_output") ? [textOf(msg.item)] : [],
      ),
    ofType: (type) => events.flatMap(({ msg }) => (msg.type === type ? [msg as never] : [])),
  };
}

/** Resolves with the first event of this type from now on. */
export function nextOf<K extends EventKind>(thread: Thread, type: K): Promise<Extract<EventMsg, { type: K }>> {
  return new Promise((resolve) => {
    const subscription = thread.events$.subscribe(({ msg }) => {
      if (msg.type !== type) return;
      resolve(msg as never);
      queueMicrotask(() => subscription.unsubscribe());
    });
  });
}

/** Answers every approval that the thread asks for, one decision each. */
export function answering(thread: Thread, ...decisions: ReviewDecision[]): void {
  thread.events$.subscribe(({ msg }) => {
    if (msg.type !== "exec_approval_request" && msg.type !== "apply_patch_approval_request") return;
    const { call_id } = msg as ExecApprovalRequestEvent | ApplyPatchApprovalRequestEvent;
    const decision = decisions.shift();
    const type = msg.type === "exec_approval_request" ? "exec_approval" : "patch_approval";
    if (decision !== undefined) void thread.submit({ type, id: call_id, decision });
  });
}

/** The types of a thread's events, with runs of the same delta told once. */
export const kinds = (events: readonly ThreadEvent[]): string[] => events.map(({ msg }) => msg.type);
