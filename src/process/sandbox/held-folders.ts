/**
 * The folders that a thread's commands may write, as they were when the thread began. Resolved anew for each command, a
 * root could be moved away and a link put in its place, and the next command would get whatever the link names.
 *
 * - A path is resolved once, when it is first held; from then on it is this folder or nothing.
 * - What is handed to the sandbox is a handle, opened without following links and compared; a swap after that changes
 *   a name, not the handle.
 */

import { spawn } from "node:child_process";
import type { FileHandle } from "node:fs/promises";
import { mkdtemp, readlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SandboxUnavailableError } from "../../protocol/errors.ts";
import { trustedProgram } from "../trusted-program.ts";
import { closeAll, openPlace, pathOfHandle } from "./handles.ts";
import { realTarget } from "./real-target.ts";

type Identity = { readonly dev: bigint; readonly ino: bigint };

/** `identity` is undefined while nothing stands there. */
type Held = { readonly path: string | undefined; identity: Identity | undefined };

export type OpenPlace = { readonly path: string; readonly handle: FileHandle; readonly isFolder: boolean };

export type MissingPlace = { readonly path: string; readonly handle: undefined };

export class HeldFolders {
  /** Made with the first path: most threads run no commands. */
  #held: Map<string, Promise<Held>> | undefined;
  #privateTmp: Promise<string> | undefined;

  /** Begins to hold the paths that are not held yet. */
  hold(paths: readonly string[]): void {
    for (const path of paths) {
      this.#held ??= new Map();
      if (!this.#held.has(path)) this.#held.set(path, heldAt(path));
    }
  }

  /**
   * Opens what is held under a path: undefined for a link that leads nowhere, without a handle while nothing stands there.
   * The handle is the caller's to close.
   * @throws SandboxUnavailableError when something else stands there by now
   */
  async open(path: string): Promise<OpenPlace | MissingPlace | undefined> {
    this.hold([path]);
    const held = await this.#held?.get(path);
    if (held?.path === undefined) return undefined;
    const place = await openUnlinked(held.path);
    if (place === undefined && held.identity === undefined) return { path: held.path, handle: undefined };
    if (place === undefined) throw changed(path);
    const { dev, ino } = await place.handle.stat({ bigint: true });
    held.identity ??= { dev, ino };
    if (held.identity.dev === dev && held.identity.ino === ino) return place;
    closeAll([place.handle]);
    throw changed(path);
  }

  /** The folder that stands in for /tmp under the private profile; made with the first command that needs it. */
  privateTmp(): Promise<string> {
    this.#privateTmp ??= mkdtemp(join(tmpdir(), "skein-tmp-"));
    return this.#privateTmp;
  }

  /** The thread has ended, and its commands with it. */
  async dispose(): Promise<void> {
    const folder = await this.#privateTmp?.catch(() => undefined);
    if (folder === undefined) return;
    const rm = await trustedProgram("rm");
    // Node's own recursive removal goes by names, which commands of other threads could swap meanwhile.
    if ("path" in rm) spawn(rm.path, ["-rf", "--", folder], { env: {}, stdio: "ignore" }).on("error", () => undefined);
  }
}

const changed = (path: string): SandboxUnavailableError =>
  new SandboxUnavailableError(
    `${path} is no longer the folder that it was when the thread began; start a new thread to work in what is there now`,
  );

async function heldAt(path: string): Promise<Held> {
  const real = await realTarget(path);
  const place = real === undefined ? undefined : await openUnlinked(real).catch(() => undefined);
  if (place === undefined) return { path: real, identity: undefined };
  const { dev, ino } = await place.handle.stat({ bigint: true });
  closeAll([place.handle]);
  return { path: real, identity: { dev, ino } };
}

/**
 * Opens what stands at a path that is to hold no link; undefined when nothing does.
 * @throws SandboxUnavailableError when the path leads somewhere else by now
 */
export async function openUnlinked(path: string): Promise<OpenPlace | undefined> {
  const handle = await openPlace(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw new SandboxUnavailableError(`${path} cannot be opened: ${error.message}`, { cause: error });
  });
  if (handle === undefined) return undefined;
  const [stats, real] = await Promise.all([handle.stat(), readlink(pathOfHandle(handle))]);
  if (real === path && !stats.isSymbolicLink()) return { path, handle, isFolder: stats.isDirectory() };
  closeAll([handle]);
  throw changed(path);
}
