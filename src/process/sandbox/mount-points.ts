/**
 * Holds protected names that do not exist: a sandbox can only mount over something, and what it mounts over stands on the
 * host. So an empty folder is made for as long as any command needs it, and then taken away.
 *
 * M1  Commands of all processes of this user count together: whoever removes the folder of a mount point under a running
 *     sandbox detaches the mount there, and the name is free.
 * M2  A folder that stands there only because another command holds it counts as missing.
 * M3  What the user has filled meanwhile is kept: only an empty folder is removed.
 * M4  Marks of processes that have ended are swept by the next command.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { makeFolderSync } from "../../kernel/make-folder.ts";
import { SandboxUnavailableError } from "../../protocol/errors.ts";
import { isAlive } from "../alive.ts";
import { stateFolder } from "./state-folder.ts";

export type HeldPoints = {
  /** Paths that are there by themselves. */
  readonly existing: readonly string[];
  /** Paths that are there as empty folders until they are released. */
  readonly held: readonly string[];
  release(): void;
};

/** Says that the folder is ours to take away. */
const MADE = ".made";

const LOCK_DEADLINE_MS = 5_000;
const LOCK_PAUSE_MS = 2;

let marks = 0;

/**
 * @param paths real paths, none of them a link
 * @param folder where the marks are; shared by all processes that may hold the same paths
 * @throws SandboxUnavailableError when the marks cannot be kept
 */
export async function holdMountPoints(paths: readonly string[], folder?: string): Promise<HeldPoints> {
  const board = new Board(folder ?? (await stateFolder("mount-points")));
  const existing: string[] = [];
  const held: string[] = [];
  const mark = `${process.pid}.${++marks}`;
  await board.locked(() => {
    for (const path of paths) {
      const state = board.hold(path, mark);
      if (state === "existing") existing.push(path);
      else if (state === "held") held.push(path);
    }
  });
  const release = () => {
    const letGo = () => {
      for (const path of held) board.release(path, mark);
    };
    // At once where nobody else is at it, so also when this process is about to end. What cannot be released now is swept
    // by the next command (M4).
    board.locked(letGo).catch(() => undefined);
  };
  return { existing, held, release };
}

class Board {
  readonly #folder: string;
  readonly #lock: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.#lock = `${folder}/lock`;
  }

  /** Runs what no other process may interleave with. It is short and never waits. @throws SandboxUnavailableError */
  async locked(work: () => void): Promise<void> {
    for (let waited = 0; waited < LOCK_DEADLINE_MS; waited += LOCK_PAUSE_MS) {
      if (this.tryLocked(work)) return;
      await pause(LOCK_PAUSE_MS);
    }
    throw new SandboxUnavailableError(`${this.#lock} is held by process ${ownerOf(this.#lock)}`);
  }

  /** The lock is a link whose target is its owner's process id: made whole or not at all. */
  tryLocked(work: () => void): boolean {
    try {
      symlinkSync(String(process.pid), this.#lock);
    } catch {
      const owner = ownerOf(this.#lock);
      if (owner !== undefined && !isAlive(owner)) quietly(() => unlinkSync(this.#lock));
      return false;
    }
    try {
      work();
    } finally {
      quietly(() => unlinkSync(this.#lock));
    }
    return true;
  }

  /** `unreachable`: nobody with our rights can make it, so no command can. */
  hold(path: string, mark: string): "existing" | "held" | "unreachable" {
    const place = this.#placeOf(path);
    this.#sweep(place);
    const isOurs = existsSync(`${place}/${MADE}`) && isEmptyFolder(path);
    if (!isOurs && lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
      quietly(() => unlinkSync(`${place}/${MADE}`));
      return "existing";
    }
    makeFolderSync(place, 0o700);
    if (!isOurs) {
      try {
        mkdirSync(path);
      } catch {
        this.#dropIfUnused(place);
        return "unreachable";
      }
      writeFileSync(`${place}/${MADE}`, path);
    }
    writeFileSync(`${place}/${mark}`, "");
    return "held";
  }

  release(path: string, mark: string): void {
    const place = this.#placeOf(path);
    quietly(() => unlinkSync(`${place}/${mark}`));
    this.#sweep(place);
    if (namesIn(place).some((name) => name !== MADE)) return;
    if (existsSync(`${place}/${MADE}`)) quietly(() => rmdirSync(path));
    quietly(() => unlinkSync(`${place}/${MADE}`));
    this.#dropIfUnused(place);
  }

  #sweep(place: string): void {
    for (const name of namesIn(place)) {
      if (name !== MADE && !isAlive(Number.parseInt(name, 10))) quietly(() => unlinkSync(`${place}/${name}`));
    }
  }

  #dropIfUnused(place: string): void {
    quietly(() => rmdirSync(place));
  }

  #placeOf(path: string): string {
    return `${this.#folder}/${createHash("sha256").update(path).digest("hex")}`;
  }
}

const namesIn = (folder: string): string[] => quietly(() => readdirSync(folder)) ?? [];

const isEmptyFolder = (path: string): boolean => quietly(() => readdirSync(path).length === 0) ?? false;

const ownerOf = (lock: string): number | undefined => quietly(() => Number(readlinkSync(lock)));

/** Others may have been here first; what is gone is gone. */
function quietly<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
