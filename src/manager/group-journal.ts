import type { GroupMember } from "../../machines/roster.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { GroupRecord, StoredGroup, StoredMember } from "./group-record.ts";

/** A group as it stands. */
export type GroupNow = {
  readonly restarts: readonly number[];
  readonly state: string;
};

/** One of a member's changes. */
export type MemberChange = { readonly before: GroupMember | undefined; readonly after: GroupMember | undefined };

const isLasting = (state: string): state is StoredGroup["state"] =>
  state === "running" || state === "gaveUp" || state === "stopped";

/** Tells a group's record what has changed since it was told last. */
export class GroupJournal {
  readonly #record: GroupRecord;
  /** What a group that is a member is called; undefined for a thread. */
  readonly #groupOf: (id: ThreadId) => { readonly name: string | undefined } | undefined;
  #restarts: readonly number[];
  #state: StoredGroup["state"];

  constructor(
    record: GroupRecord,
    {
      restarts,
      groupOf,
    }: { restarts: readonly number[]; groupOf: (id: ThreadId) => { name: string | undefined } | undefined },
  ) {
    this.#record = record;
    this.#groupOf = groupOf;
    this.#restarts = restarts;
    this.#state = record.stored.state;
  }

  note({ restarts, state }: GroupNow, changes: readonly MemberChange[], now: number): void {
    for (const { before, after } of changes) this.#noteMember(before, after);
    if (restarts.length === 0 && this.#restarts.length > 0) this.#record.note({ change: "uncounted" });
    else if (restarts !== this.#restarts && restarts.length > 0) this.#record.note({ change: "restarted", at: now });
    this.#restarts = restarts;
    if (!isLasting(state) || state === this.#state) return;
    this.#record.note({ change: "state", state });
    this.#state = state;
  }

  #noteMember(before: GroupMember | undefined, after: GroupMember | undefined): void {
    if (after === undefined) {
      if (before !== undefined) this.#record.note({ change: "left", id: before.id as ThreadId });
      return;
    }
    const member = this.#storedForm(after);
    const isStored = before !== undefined && JSON.stringify(this.#storedForm(before)) === JSON.stringify(member);
    if (!isStored) this.#record.note({ change: "member", member });
  }

  #storedForm({ id, restart, state, why }: GroupMember): StoredMember {
    const inner = this.#groupOf(id as ThreadId);
    const isEnded = state === "ended";
    return {
      id: id as ThreadId,
      kind: inner === undefined ? "thread" : "group",
      ...(inner?.name !== undefined && { name: inner.name }),
      ...{ restart, isEnded },
      ...(isEnded && (why === "intensity" || why === "group") && { withGroup: why }),
    };
  }
}
