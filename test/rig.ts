/** A manager on a manual clock, a memory store and a scripted model, and ways to watch its threads. */
import assert from "node:assert/strict";
import { ThreadManager, type ThreadManagerOptions } from "../src/index.ts";
import { ManualClock } from "../src/kernel/clock.ts";
import type { ModelRequest } from "../src/model/model-client.ts";
import type { Script } from "../src/model/script.ts";
import { type ScriptedClient, scriptedClient } from "../src/model/scripted-client.ts";
import type { ThreadEvent } from "../src/protocol/event.ts";
import type { ResponseItem } from "../src/protocol/response-item.ts";
import type { RolloutLine } from "../src/protocol/rollout.ts";
import { memoryStore } from "../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../src/store/thread-store.ts";
import type { Thread } from "../src/thread/thread.ts";
import { settled } from "./kernel/settled.ts";

export type Rig = AsyncDisposable & {
  readonly manager: ThreadManager;
  readonly clock: ManualClock;
  readonly store: ThreadStore;
  readonly model: ScriptedClient;
};

export async function rig(options: ThreadManagerOptions & { script?: Script } = {}): Promise<Rig> {
  const clock = new ManualClock({ startMs: 1_000_000 });
  const { script, ...given } = options;
  const store = given.store ?? memoryStore({ clock });
  const model = scriptedClient(script, { clock, recordRequests: 1_000 });
  const config = { cwd: "/work", builtInTools: [], ...given.config };
  const manager = await ThreadManager.create({ clock, model, ...given, store, config });
  const dispose = async () => {
    const down = manager.shutdown({ deadlineMs: 1_000 });
    await settled();
    await clock.advanceAsync(5_000);
    await down;
  };
  return { manager, clock, store, model, [Symbol.asyncDispose]: dispose };
}

/** Everything that a thread says from now on. */
export function watch(thread: Thread): ThreadEvent[] {
  const seen: ThreadEvent[] = [];
  thread.events$.subscribe((event) => seen.push(event));
  return seen;
}

/** The types of events, without those that clients are not shown. */
export const typesOf = (events: readonly ThreadEvent[]): string[] =>
  events.map(({ msg }) => msg.type).filter((type) => type !== "raw_response_item");

/** Resolves with the first event from now on that passes. */
export function next(thread: Thread, passes: string | ((event: ThreadEvent) => boolean)): Promise<ThreadEvent> {
  return new Promise((resolve, reject) => {
    const subscription = thread.events$.subscribe({
      next: (event) => {
        if (typeof passes === "string" ? event.msg.type !== passes : !passes(event)) return;
        queueMicrotask(() => subscription.unsubscribe());
        resolve(event);
      },
      complete: () => reject(new Error(`the thread closed before ${String(passes)}`)),
    });
  });
}

export type Latch = { readonly opened: Promise<void>; open(): void };

export function latch(): Latch {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

/** Runs reactions and waits for what is under way until the condition holds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; turns < 1_000; turns += 1) {
    if (condition()) return;
    await settled();
  }
  assert.fail(`never came true: ${condition}`);
}

export async function linesOf(store: ThreadStore, threadId: Thread["id"]): Promise<RolloutLine[]> {
  const lines: RolloutLine[] = [];
  for await (const page of store.load(threadId)) lines.push(...page);
  return lines;
}

/** The texts of a request's messages, after the environment context. */
export const textsOf = ({ input }: Pick<ModelRequest, "input">): string[] =>
  input.flatMap((item) => {
    if (item.type !== "message") return [];
    const text = item.content.map((part) => ("text" in part ? part.text : "")).join("");
    if (text.startsWith("<turn_aborted>")) return [INTERRUPTED];
    return text.startsWith("<environment_context>") ? [] : [text];
  });

/** The mark of an interrupt, as {@link textsOf} shows it. */
export const INTERRUPTED = "<turn_aborted>";

/** H1: every call is followed by its one output, and no output stands alone. */
export function assertPaired(items: readonly ResponseItem[]): void {
  const open: string[] = [];
  for (const item of items) {
    if (item.type === "function_call") open.push(item.call_id);
    if (item.type !== "function_call_output") continue;
    const at = open.indexOf(item.call_id ?? "");
    assert.notEqual(at, -1, `an output without a call: ${item.call_id}`);
    open.splice(at, 1);
  }
  assert.deepEqual(open, [], "calls without an output");
}

/** An object with some members replaced; the others stay bound to the one beneath. */
export function overlaid<T extends object>(inner: T, own: Partial<T>): T {
  return new Proxy(inner, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return Reflect.get(own, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
