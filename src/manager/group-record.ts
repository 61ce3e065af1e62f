/**
 * Where a group lasts: a thread of its own in the store, under an id that its name gives, so that every store keeps it, and the lease
 * lets one manager at a time decide for it. Its lines say what changed; folded, they are the group as it was.
 */
import { createHash } from "node:crypto";
import * as z from "zod";
import { DuplicateThreadError, RolloutNotFoundError } from "../protocol/errors.ts";
import { isUuid, newThreadId, type ThreadId } from "../protocol/ids.ts";
import type { SessionMeta } from "../protocol/rollout.ts";
import type { ThreadStore, ThreadWriter } from "../store/thread-store.ts";
import { VERSION } from "../version.ts";
import { type GroupRule, storedRule } from "./group-options.ts";
import { RESTART_STRATEGIES, type RestartStrategy } from "./options.ts";

/** A member as it is stored. `isEnded`: it does not come back by itself; `withGroup`: since the group ended. */
export type StoredMember = {
  readonly id: ThreadId;
  readonly kind: "thread" | "group";
  /** Of a group in this group. */
  readonly name?: string | undefined;
  readonly restart: RestartStrategy;
  readonly isEnded: boolean;
  readonly withGroup?: "intensity" | "group" | undefined;
};

/** A group as its lines tell. `restarts`: Unix milliseconds. */
export type StoredGroup = {
  readonly rule: Partial<GroupRule>;
  readonly members: readonly StoredMember[];
  readonly restarts: readonly number[];
  readonly state: "running" | "gaveUp" | "stopped";
  /** The highest number that a group in it has had in its name, those that have left included. */
  readonly newestInner: number;
};

const LINE = "group_event";
const id = z.custom<ThreadId>((value) => typeof value === "string" && isUuid(value));
const member = z.object({
  id,
  kind: z.enum(["thread", "group"]),
  name: z.string().optional(),
  restart: z.enum(RESTART_STRATEGIES),
  isEnded: z.boolean(),
  withGroup: z.enum(["intensity", "group"]).optional(),
});
const change = z.discriminatedUnion("change", [
  z.object({ change: z.literal("rule"), rule: storedRule }),
  z.object({ change: z.literal("member"), member }),
  z.object({ change: z.literal("left"), id }),
  z.object({ change: z.literal("restarted"), at: z.number() }),
  z.object({ change: z.literal("uncounted") }),
  z.object({ change: z.literal("state"), state: z.enum(["running", "gaveUp", "stopped"]) }),
]);

/** One line of a group's record. */
export type GroupChange = z.infer<typeof change>;

const EMPTY: StoredGroup = { rule: {}, members: [], restarts: [], state: "running", newestInner: 0 };
const RESTARTS = 1_000;

/** What the lines read so far come to. */
class Fold {
  #rule: StoredGroup["rule"] = {};
  readonly #members = new Map<ThreadId, StoredMember>();
  #restarts: number[] = [];
  #state: StoredGroup["state"] = "running";
  #newestInner = 0;

  add(line: GroupChange): void {
    switch (line.change) {
      case "rule":
        this.#rule = line.rule as Partial<GroupRule>;
        break;
      case "member":
        this.#members.set(line.member.id, line.member);
        this.#newestInner = Math.max(this.#newestInner, numberIn(line.member.name));
        break;
      case "left":
        this.#members.delete(line.id);
        break;
      case "restarted":
        this.#restarts.push(line.at);
        if (this.#restarts.length > 2 * RESTARTS) this.#restarts = this.#restarts.slice(-RESTARTS);
        break;
      case "uncounted":
        this.#restarts = [];
        break;
      case "state":
        this.#state = line.state;
        break;
    }
  }

  get group(): StoredGroup {
    return {
      rule: this.#rule,
      members: [...this.#members.values()],
      restarts: this.#restarts.slice(-RESTARTS),
      state: this.#state,
      newestInner: this.#newestInner,
    };
  }
}

const numberIn = (name = ""): number => Number(/\/(\d{1,9})$/.exec(name)?.[1] ?? 0);

/** The id of the group's own thread: the same for the same name, in any process. */
export function groupIdOf(name: string | undefined): ThreadId {
  if (name === undefined) return newThreadId();
  const hash = createHash("sha256").update(`skein group ${name}`).digest("hex");
  const variant = ((Number.parseInt(hash[16] ?? "0", 16) & 3) | 8).toString(16);
  return [
    hash.slice(0, 8),
    hash.slice(8, 12),
    `8${hash.slice(13, 16)}`,
    `${variant}${hash.slice(17, 20)}`,
    hash.slice(20, 32),
  ].join("-") as ThreadId;
}

export class GroupRecord {
  readonly stored: StoredGroup;
  readonly #writer: ThreadWriter;

  private constructor(writer: ThreadWriter, stored: StoredGroup) {
    this.#writer = writer;
    this.stored = stored;
  }

  /** @throws ThreadBusyError when another manager has the group, StoreIoError */
  static async open(
    store: ThreadStore,
    { name, cwd, now, onFailure }: { name: string; cwd: string; now: number; onFailure: (error: Error) => void },
  ): Promise<GroupRecord> {
    const groupId = groupIdOf(name);
    const open = async () => {
      const writer = await store.open(groupId, { onFailure });
      try {
        return new GroupRecord(writer, await stored(store, groupId));
      } catch (error) {
        await writer.close();
        throw error;
      }
    };
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof RolloutNotFoundError)) throw error;
    }
    try {
      return new GroupRecord(await store.create(headerOf(groupId, { name, cwd, now }), { onFailure }), EMPTY);
    } catch (error) {
      // Somebody else has made it meanwhile.
      if (error instanceof DuplicateThreadError) return open();
      throw error;
    }
  }

  note(line: GroupChange): void {
    this.#writer.append({ type: LINE, payload: line });
  }

  /** @throws StoreIoError, ThreadBusyError */
  async flush(): Promise<void> {
    await this.#writer.flush();
  }

  async close(): Promise<void> {
    await this.#writer.close();
  }
}

const headerOf = (groupId: ThreadId, { name, cwd, now }: { name: string; cwd: string; now: number }): SessionMeta => ({
  id: groupId,
  timestamp: new Date(now).toISOString(),
  cwd,
  originator: "skein",
  cli_version: VERSION,
  // Lists of a user's threads leave it out.
  source: { subagent: { other: "group" } },
  group_name: name,
});

async function stored(store: ThreadStore, groupId: ThreadId): Promise<StoredGroup> {
  const group = new Fold();
  for await (const page of store.load(groupId, { wants: (type) => type === LINE })) {
    for (const { type, payload } of page) {
      const line = type === LINE ? change.safeParse(payload) : undefined;
      if (line?.success) group.add(line.data);
    }
  }
  return group.group;
}
