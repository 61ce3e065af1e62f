/**
 * Where things lie in a home directory (SPEC 7.1), and what the names of rollouts say.
 *
 *     sessions/YYYY/MM/DD/rollout-<local time>-<thread id>.jsonl
 *     sessions/YYYY/MM/DD/rollout-<local time>-<thread id>_<segment id>.jsonl    after a revert by Codex 0.169
 *     archived_sessions/<the same names>
 *     deleted/<thread id>      a tombstone: the thread is deleted, its file stays archived as long as a fork needs it
 *     deleted/<base id>_<thread id>      that file in turn needs the lines of its base
 *     leases/heirs/<base id>_<thread id>  a fork that is being made (fork-marks.ts)
 *     leases/<thread id>       who writes the thread (lease.ts)
 *     standing/<kind>/<thread id>.json   budgets in use, timers, waiting mail (file-notes.ts)
 *     catalog.sqlite           the index, which can be rebuilt
 */
import { realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { ThreadId } from "../../protocol/ids.ts";

/** What a rollout's name says. The file id is what `history_base` names: the segment's id, or the thread's for the first. */
export type RolloutName = { readonly stamp: string; readonly threadId: ThreadId; readonly fileId: ThreadId };

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const NAME = new RegExp(`^rollout-(\\d{4}-\\d\\d-\\d\\dT\\d\\d-\\d\\d-\\d\\d)-(${UUID})(?:_(${UUID}))?\\.jsonl$`);

const two = (value: number): string => (value < 10 ? `0${value}` : String(value));

/** A home directory's places. */
export class Layout {
  readonly home: string;
  readonly sessions: string;
  readonly archived: string;
  readonly tombstones: string;
  readonly leases: string;
  readonly catalog: string;

  constructor(home: string) {
    this.home = resolve(home);
    this.sessions = join(this.home, "sessions");
    this.archived = join(this.home, "archived_sessions");
    this.tombstones = join(this.home, "deleted");
    this.leases = join(this.home, "leases");
    this.catalog = join(this.home, "catalog.sqlite");
  }

  /** The folder of a moment's day, which Codex takes in local time. */
  dayFolder(at: Date): string {
    return join(this.sessions, String(at.getFullYear()), two(at.getMonth() + 1), two(at.getDate()));
  }

  rolloutPath(threadId: ThreadId, at: Date): string {
    return join(this.dayFolder(at), `rollout-${localStamp(at)}-${threadId}.jsonl`);
  }

  archivedPath(rolloutPath: string): string {
    return join(this.archived, basename(rolloutPath));
  }

  /** Where an archived rollout goes back to; undefined when its name tells no day. */
  unarchivedPath(archivedPath: string): string | undefined {
    const name = parseRolloutName(basename(archivedPath));
    if (name === undefined) return undefined;
    const [year = "", month = "", day = ""] = name.stamp.slice(0, 10).split("-");
    return join(this.sessions, year, month, day, basename(archivedPath));
  }

  isArchived(rolloutPath: string): boolean {
    return rolloutPath.startsWith(`${this.archived}/`) || rolloutPath.startsWith(`${this.archived}\\`);
  }

  tombstone(threadId: ThreadId): string {
    return join(this.tombstones, threadId);
  }

  /** Says that the file of a deleted thread is kept, and needs the lines of its base. */
  heirMark(base: ThreadId, threadId: ThreadId): string {
    return join(this.tombstones, `${base}_${threadId}`);
  }
}

const IN_HOME = /^(.*)[\\/](?:sessions(?:[\\/]\d+){0,3}|archived_sessions)$/;

/** Where the writers of a rollout find each other: in its home, or beside a file that lies in none. undefined: it is not there. */
export function leasesFolderOf(rolloutPath: string): string | undefined {
  try {
    const folder = dirname(realpathSync.native(rolloutPath));
    const home = IN_HOME.exec(folder)?.[1];
    return home === undefined ? join(folder, ".skein-leases") : join(home, "leases");
  } catch {
    return undefined;
  }
}

const localStamp = (at: Date): string =>
  `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}-${two(at.getMinutes())}-${two(at.getSeconds())}`;

export function parseRolloutName(name: string): RolloutName | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const [, stamp = "", threadId = "", segmentId] = match;
  return { stamp, threadId: threadId as ThreadId, fileId: (segmentId ?? threadId) as ThreadId };
}

/** Of a thread's segments the last is the thread: the newest by name, as Codex makes them. */
export const isLaterName = (a: RolloutName, b: RolloutName): boolean =>
  a.stamp === b.stamp ? segmentRank(a) > segmentRank(b) : a.stamp > b.stamp;

const segmentRank = (name: RolloutName): string => (name.fileId === name.threadId ? "" : name.fileId);

/** When a UUIDv7 was minted. */
export const mintedAt = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
