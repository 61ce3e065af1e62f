/** What the built-in logic's machine says of its thread: by the tags of its state (T10), and by what it remembers. */
import type { AnyActorRef } from "xstate";
import type { ThreadContext, ThreadTag } from "../../machines/thread.machine.ts";

const ACTIVITIES = ["idle", "closing", "rollingBack", "running", "answering"] as const satisfies ThreadTag[];

export function hasTag(actor: AnyActorRef, tag: ThreadTag): boolean {
  const { tags } = actor.getSnapshot() as { tags?: ReadonlySet<string> };
  return tags?.has(tag) ?? false;
}

export const activityOf = (actor: AnyActorRef): (typeof ACTIVITIES)[number] =>
  ACTIVITIES.find((tag) => hasTag(actor, tag)) ?? "idle";

export const rememberedBy = (actor: AnyActorRef): ThreadContext =>
  (actor.getSnapshot() as { context: ThreadContext }).context;
