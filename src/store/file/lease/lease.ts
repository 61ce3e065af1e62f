/**
 * Writer leases over all processes that share a home (F5).
 *
 * E1  A lease is the directory entry `leases/<thread id>`: a hard link to the owner's file, made atomically, with what a
 *     refused writer wants to know inside. It costs no inode and no open file, and a released one leaves nothing.
 * E2  A writer holds the thread while the entry leads to its owner's file. It looks before each batch, with the rollout
 *     already open, and again before it reports a batch as stored. Who takes over from an owner that may still run
 *     gives the rollout a new inode (`fenceOff`), so what the old owner writes late reaches nobody.
 * E3  To replace an entry, `<thread id>.claim` is taken first: of several that find the same dead owner, one wins, and
 *     while one gives the rollout its new inode nobody else takes over. An entry can vanish under a claim, when the owner
 *     that is being replaced lets go at that moment; who finds the place free then is not the writer before the claim ends,
 *     since the rollout that it would open may be exchanged.
 * E4  An owner is dead when its process is gone or another one has its pid; of processes that cannot be seen from here,
 *     when its file was not touched for a while.
 * E5  A thread's first writer has epoch 1, and each later one a higher epoch (epoch-ledger.ts).
 */
import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { type Clock, systemClock } from "../../../kernel/clock.ts";
import type { SkeinLogger } from "../../../kernel/log.ts";
import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import { type LeaseOwner, ThreadBusyError } from "../../../protocol/errors.ts";
import { isUuid, type ThreadId } from "../../../protocol/ids.ts";
import { isJsonObject } from "../../../protocol/unknown-kind.ts";
import { errorCode, type FileSystem, isMissing, namesIn, removeIfThere, writeNew } from "../file-system.ts";
import { EpochLedger, FIRST_EPOCH } from "./epoch-ledger.ts";
import { isRunning, type ProcessIdentity, thisProcess } from "./process-identity.ts";

export type Lease = {
  readonly threadId: ThreadId;
  readonly path: string;
  readonly epoch: number;
  inode: number;
  /** Who gave it, and is asked for it. */
  readonly keeper: LeaseKeeper;
};
export type Acquired = { readonly lease: Lease } | { readonly busy: LeaseOwner | undefined };

type OwnerFile = { readonly path: string; readonly inode: number; readonly text: string };
type Holder = { readonly text: string; readonly token: string; readonly since: string } & ProcessIdentity;

/** The folder of the owners' files, so that few are looked at when many threads are held. */
const OWNERS_FOLDER = "owners";
const CLAIM_SUFFIX = ".claim";
const LEDGER_NAME = "epochs.sqlite";
const HEARTBEAT_MS = 10_000;
const SWEEP_AFTER_MS = 2_000;
const SILENT_FOR_MS = 45_000;
const ATTEMPTS = 16;
/** At each attempt. Copying the rollout of a thread that is taken over takes milliseconds. */
const CLAIM_WAIT_MS = 20;
/** No file's. */
const NOT_TAKEN = -1;
const PAUSE = new Int32Array(new SharedArrayBuffer(4));
const NO_LINKS: ReadonlySet<string | undefined> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV"]);

/** The owners of this process, so that a store which was closed or lost is told from a live one. */
const liveTokens = new Set<string>();

/** One owner: a store in a process. */
export class LeaseKeeper {
  readonly #fs: FileSystem;
  readonly #folder: string;
  readonly #owners: string;
  readonly #clock: Clock;
  readonly #log: SkeinLogger;
  readonly #since = new Date(systemClock.now()).toISOString();
  readonly #identity = thisProcess();
  readonly #epochs: EpochLedger;
  readonly #tokens: string[] = [];
  #owner: OwnerFile | undefined;
  #links = true;
  #heartbeat: unknown;
  #sweepTimer: unknown;

  constructor(fs: FileSystem, folder: string, clock: Clock, log: SkeinLogger) {
    this.#fs = fs;
    this.#folder = folder;
    this.#owners = join(folder, OWNERS_FOLDER);
    this.#clock = clock;
    this.#log = log;
    this.#epochs = new EpochLedger(join(folder, LEDGER_NAME), log);
  }

  get self(): LeaseOwner {
    return { pid: this.#identity.pid, host: this.#identity.host, since: this.#since };
  }

  /**
   * `thread`: `"new"` for the one who makes it; `"known"` for those who change it and write no line. `fenceOff` runs
   * when the thread was taken from an owner that might still write, before anybody else can take it (E2).
   */
  acquire(
    threadId: ThreadId,
    thread: "new" | "stored" | "known",
    options: { takeOver: boolean; fenceOff?: () => void },
  ): Acquired {
    const path = join(this.#folder, threadId);
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const owner = this.#ownerFile();
      if (this.#linkNew(owner, path)) {
        if (thread !== "new" && !this.#outlastsClaim(path)) continue;
      } else {
        const holder = this.#readHolder(path);
        if (holder === undefined) continue;
        const dead = holder === "nonsense" || !this.#isAlive(holder);
        if (!dead && !options.takeOver) {
          this.#log.debug({ threadId, owner: ownerOf(holder) }, "lease held by another");
          return { busy: ownerOf(holder) };
        }
        // A process that only seems dead might still write.
        const gone = holder === "nonsense" || this.#isSurelyDead(holder);
        if (!this.#replace(owner, path, holder, gone ? undefined : options.fenceOff)) continue;
      }
      const inode = this.#ownInode(path);
      if (inode === undefined) continue;
      const epoch = thread === "stored" ? this.#epochs.next(threadId) : FIRST_EPOCH;
      this.#log.debug({ threadId, epoch }, "lease taken");
      return { lease: { threadId, path, epoch, inode, keeper: this } };
    }
    const holder = this.#readHolder(path);
    return { busy: holder === undefined || holder === "nonsense" ? undefined : ownerOf(holder) };
  }

  /** The lease of a new thread, to be taken by {@link take} when the thread is written. */
  reserve(threadId: ThreadId): Lease {
    return { threadId, path: join(this.#folder, threadId), epoch: FIRST_EPOCH, inode: NOT_TAKEN, keeper: this };
  }

  /** @throws ThreadBusyError where somebody else has the id by now */
  take(reserved: Lease): void {
    const acquired = this.acquire(reserved.threadId, "new", { takeOver: false });
    if ("busy" in acquired) throw new ThreadBusyError(reserved.threadId, acquired.busy);
    reserved.inode = acquired.lease.inode;
  }

  /** Gives a lease back that was taken for a thread which could not be made: it is only reserved again. */
  letGo(lease: Lease): void {
    this.release(lease);
    lease.inode = NOT_TAKEN;
  }

  /** The same lease under a higher epoch, for the next writer of this owner. */
  renew(lease: Lease): Lease {
    return { ...lease, epoch: this.#epochs.next(lease.threadId) };
  }

  /** Whether the lease is still held (E2). An entry that somebody removed is made again, if nobody had the thread since. */
  holds(lease: Lease): boolean {
    const inode = this.#fs.infoOf(lease.path)?.inode;
    if (inode === lease.inode) return true;
    if (inode !== undefined || !this.#linkNew(this.#ownerFile(), lease.path)) return false;
    if (this.#epochs.last(lease.threadId) > lease.epoch) {
      removeIfThere(this.#fs, lease.path);
      return false;
    }
    lease.inode = this.#ownInode(lease.path) ?? NOT_TAKEN;
    return true;
  }

  release(lease: Lease): void {
    this.#log.debug({ threadId: lease.threadId, epoch: lease.epoch }, "lease released");
    if (this.#fs.infoOf(lease.path)?.inode === lease.inode) removeIfThere(this.#fs, lease.path);
  }

  /** Who holds the thread now; undefined when nobody that lives does. */
  holderOf(threadId: ThreadId): LeaseOwner | undefined {
    const holder = this.#readHolder(join(this.#folder, threadId));
    return holder === undefined || holder === "nonsense" || !this.#isAlive(holder) ? undefined : ownerOf(holder);
  }

  /** Removes the leases of dead owners, as a crash leaves them. */
  async sweep(): Promise<number> {
    const owners = namesIn(this.#fs, this.#owners).map((name) => join(this.#owners, name));
    const dead = owners.filter((path) => this.isOrphan(path));
    let removed = 0;
    if (dead.length === 0) return removed;
    for await (const { path } of this.orphans()) if (this.#removeOrphan(path)) removed += 1;
    for (const path of dead) removeIfThere(this.#fs, path);
    return removed;
  }

  /** Entries of owners that are gone. */
  async *orphans(): AsyncGenerator<{ path: string; threadId: ThreadId }> {
    for (const name of namesIn(this.#fs, this.#folder)) {
      await yieldToLoop();
      const threadId = name.endsWith(CLAIM_SUFFIX) ? name.slice(0, -CLAIM_SUFFIX.length) : name;
      const path = join(this.#folder, name);
      if (isUuid(threadId) && this.isOrphan(path)) yield { path, threadId: threadId as ThreadId };
    }
  }

  /** Makes an entry that leads to this owner's file, in a folder that is made when it is missing. */
  linkTo(path: string): void {
    try {
      this.#linkNew(this.#ownerFile(), path);
    } catch (error) {
      if (!isMissing(error)) throw error;
      this.#fs.makeFolder(dirname(path));
      this.#linkNew(this.#ownerFile(), path);
    }
  }

  /** Whether an entry is of an owner that is gone. */
  isOrphan(path: string): boolean {
    const holder = this.#readHolder(path);
    return holder === "nonsense" || (holder !== undefined && this.#isSurelyDead(holder));
  }

  close(): void {
    if (this.#heartbeat !== undefined) this.#clock.clearTimeout(this.#heartbeat);
    if (this.#sweepTimer !== undefined) this.#clock.clearTimeout(this.#sweepTimer);
    this.#heartbeat = undefined;
    if (this.#owner !== undefined) removeIfThere(this.#fs, this.#owner.path);
    this.#owner = undefined;
    for (const token of this.#tokens) liveTokens.delete(token);
    this.#epochs.close();
  }

  /** A link has its owner's inode; a copy, on file systems without links, its own. */
  #ownInode(path: string): number | undefined {
    return this.#links ? this.#owner?.inode : this.#fs.infoOf(path)?.inode;
  }

  #ownerFile(): OwnerFile {
    return this.#owner ?? this.#makeOwnerFile();
  }

  #makeOwnerFile(): OwnerFile {
    this.#fs.makeFolder(this.#owners);
    const token = randomBytes(8).toString("hex");
    const path = join(this.#owners, `${token}.json`);
    const text = `${JSON.stringify({ token, ...this.#identity, since: this.#since })}\n`;
    const { inode } = writeNew(this.#fs, path, Buffer.from(text));
    liveTokens.add(token);
    this.#tokens.push(token);
    this.#owner = { path, inode, text };
    if (this.#heartbeat === undefined) {
      this.#heartbeat = this.#clock.background(() => this.#beat(), HEARTBEAT_MS);
      this.#sweepTimer = this.#clock.background(() => void this.#sweepLater(), SWEEP_AFTER_MS);
    }
    return this.#owner;
  }

  #beat(): void {
    this.#clock.clearTimeout(this.#heartbeat);
    this.#heartbeat = this.#clock.background(() => this.#beat(), HEARTBEAT_MS);
    try {
      const { path } = this.#ownerFile();
      if (this.#fs.infoOf(path) === undefined) this.#makeOwnerFile();
      else this.#fs.touch(path);
    } catch {
      // The next writer that needs the folder reports what is wrong with it.
    }
  }

  async #sweepLater(): Promise<void> {
    if (this.#heartbeat === undefined) return;
    try {
      const removed = await this.sweep();
      if (removed > 0) this.#log.info({ removed }, "leases that dead processes left were removed");
    } catch (error) {
      this.#log.warn({ error }, "leases that dead processes left could not be removed");
    }
  }

  /** false: there is an entry already. */
  #linkNew(owner: OwnerFile, path: string): boolean {
    try {
      this.#fs.link(owner.path, path);
      return true;
    } catch (error) {
      const code = errorCode(error);
      if (code === "EEXIST") return false;
      if (code === "EMLINK") return this.#linkNew(this.#makeOwnerFile(), path);
      if (code === "ENOENT" && this.#fs.infoOf(owner.path) === undefined) {
        return this.#linkNew(this.#makeOwnerFile(), path);
      }
      if (!NO_LINKS.has(code)) throw error;
      this.#links = false;
      return this.#copyNew(owner, path);
    }
  }

  /** For file systems without hard links. */
  #copyNew(owner: OwnerFile, path: string): boolean {
    try {
      writeNew(this.#fs, path, Buffer.from(owner.text));
      return true;
    } catch (error) {
      if (errorCode(error) === "EEXIST") return false;
      throw error;
    }
  }

  #replace(owner: OwnerFile, path: string, expected: Holder | "nonsense", fenceOff: (() => void) | undefined): boolean {
    return this.#withClaim(owner, path, () => {
      if (!isSame(this.#readHolder(path), expected)) return false;
      const next = `${path}.${owner.path.slice(-13, -5)}`;
      removeIfThere(this.#fs, next);
      if (!this.#linkNew(owner, next)) return false;
      this.#fs.rename(next, path);
      removeIfThere(this.#fs, next); // renaming onto a link of the same file leaves both
      try {
        fenceOff?.();
      } catch (error) {
        removeIfThere(this.#fs, path);
        throw error;
      }
      return true;
    });
  }

  #removeOrphan(path: string): boolean {
    return this.#withClaim(this.#ownerFile(), path, () => {
      if (!this.isOrphan(path)) return false;
      removeIfThere(this.#fs, path);
      return true;
    });
  }

  /** Waits until nobody claims the entry; false: it is not ours then (E3). */
  #outlastsClaim(path: string): boolean {
    const claim = `${path}${CLAIM_SUFFIX}`;
    for (let waitedMs = 0; this.#fs.infoOf(claim) !== undefined && waitedMs < CLAIM_WAIT_MS; waitedMs += 1) {
      const claimant = this.#readHolder(claim);
      if (claimant === "nonsense" || (claimant !== undefined && this.#isSurelyDead(claimant)))
        removeIfThere(this.#fs, claim);
      else Atomics.wait(PAUSE, 0, 0, 1);
    }
    const isOurs = this.#fs.infoOf(path)?.inode === this.#ownInode(path);
    if (this.#fs.infoOf(claim) === undefined) return isOurs;
    if (isOurs) removeIfThere(this.#fs, path);
    return false;
  }

  #withClaim(owner: OwnerFile, path: string, work: () => boolean): boolean {
    const claim = `${path}${CLAIM_SUFFIX}`;
    if (!this.#linkNew(owner, claim)) {
      const claimant = this.#readHolder(claim);
      // A claim lasts for microseconds; that its owner died within them, and two find it at once, is left aside.
      if (claimant === "nonsense" || (claimant !== undefined && !this.#isAlive(claimant)))
        removeIfThere(this.#fs, claim);
      return false;
    }
    try {
      return work();
    } finally {
      removeIfThere(this.#fs, claim);
    }
  }

  /** Without links an entry is made in two steps: one that says nothing yet has a moment to, before its maker counts as dead. */
  #readHolder(path: string): Holder | "nonsense" | undefined {
    for (let waitedMs = 0; ; waitedMs += 1) {
      const holder = this.#holderIn(path);
      if (holder !== "nonsense" || waitedMs === CLAIM_WAIT_MS) return holder;
      Atomics.wait(PAUSE, 0, 0, 1);
    }
  }

  #holderIn(path: string): Holder | "nonsense" | undefined {
    try {
      const text = this.#fs.readText(path);
      return holderFrom(text) ?? "nonsense";
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  #isAlive(holder: Holder): boolean {
    if (this.#isSurelyDead(holder)) return false;
    return isRunning(holder) ?? !this.#isSilent(holder);
  }

  #isSurelyDead(holder: Holder): boolean {
    const running = isRunning(holder);
    const ours = holder.pid === this.#identity.pid && holder.started === this.#identity.started;
    return running === false || (running === true && ours && !liveTokens.has(holder.token));
  }

  /** Compared with a file of our own on the same file system, so that no two clocks are compared. */
  #isSilent(holder: Holder): boolean {
    const theirs = this.#fs.infoOf(join(this.#owners, `${holder.token}.json`));
    if (theirs === undefined) return true;
    this.#beat();
    const { path } = this.#ownerFile();
    const now = this.#fs.infoOf(path)?.modifiedMs ?? 0;
    return now - theirs.modifiedMs > SILENT_FOR_MS;
  }
}

function holderFrom(text: string): Holder | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isJsonObject(value) || typeof value.token !== "string" || typeof value.pid !== "number") return undefined;
  return { ...(value as Holder), text };
}

const ownerOf = (holder: Holder): LeaseOwner => ({ pid: holder.pid, host: holder.host, since: holder.since });

const isSame = (found: Holder | "nonsense" | undefined, expected: Holder | "nonsense"): boolean =>
  found === "nonsense" || found === undefined || expected === "nonsense"
    ? found === expected
    : found.text === expected.text;
