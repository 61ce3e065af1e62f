/**
 * A Unix socket's place in the file system.
 *
 * - The socket is born in a private folder beside it and moved to its path with its mode set: nobody else can connect before.
 * - Nothing but a socket that nobody answers is ever taken away. What else stands there stays, and is an error. One server
 *   at a time may take one away: of two, the later would take what the earlier has put there.
 * - The end of a listener takes away its own socket alone, known by its inode.
 */
import { createHash } from "node:crypto";
import { lstatSync, unlinkSync } from "node:fs";
import { chmod, link, lstat, mkdtemp, rename, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { basename, dirname, join, sep } from "node:path";
import { InvalidRequestError, StoreIoError } from "../../protocol/errors.ts";
import { ioCode, isMissing } from "../../services/io-failure.ts";

/** What the system's address of a socket holds, the NUL at its end aside; some systems have four bytes fewer. */
const LONGEST_ADDRESS = process.platform === "linux" ? 107 : 103;
const TRIES = 3;

/** A socket's name in the file system, while it is ours. */
export interface SocketPath {
  remove(): void;
}

/**
 * Has `listen` make a socket at an address of its own, and gives it the path.
 *
 * @throws InvalidRequestError when something else than a dead socket is at the path; StoreIoError (EADDRINUSE) when a
 * server answers there, and when the system refuses
 */
export async function placeSocket(path: string, listen: (address: string) => Promise<void>): Promise<SocketPath> {
  // By hand: `join` drops the dot, and makes a folder beside that of the socket, where its owner need not be allowed to write.
  const folder = await mkdtemp(`${dirname(path)}${sep}.`).catch((cause: Error) => {
    throw noSocket(path, cause);
  });
  try {
    const address = join(folder, "s");
    const bytes = Math.max(Buffer.byteLength(address), Buffer.byteLength(path));
    if (bytes > LONGEST_ADDRESS) {
      throw new InvalidRequestError(`--listen: ${path} is too long for a socket; choose a shorter folder or name`);
    }
    await listen(address);
    await chmod(address, 0o600);
    const { dev, ino } = await lstat(address, { bigint: true });
    await publish(address, path, folder);
    return { remove: () => removeOwn(path, { dev, ino }) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Gives a socket its name, where nothing stands: a link never replaces. */
async function publish(address: string, path: string, folder: string): Promise<void> {
  for (let left = TRIES; left > 0; left -= 1) {
    try {
      await link(address, path);
      return;
    } catch (cause) {
      if (ioCode(cause) !== "EEXIST") throw noSocket(path, cause);
    }
    await clear(path, folder);
  }
  throw inUse(path);
}

type Inode = { readonly dev: bigint; readonly ino: bigint };

const isSame = (one: Inode, other: Inode): boolean => one.dev === other.dev && one.ino === other.ino;

/** Takes a dead socket away. Where it is gone by now, whatever comes to its place is another server's. */
async function clear(path: string, folder: string): Promise<void> {
  const found = await lstat(path, { bigint: true }).catch(undefinedIfMissing);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new InvalidRequestError(`--listen: ${path} is there and is no socket; remove it, or choose another path`);
  }
  await using _alone = await takeOverLock(path);
  const state = await stateOf(path);
  if (state === "alive") throw inUse(path);
  if (state === "closed") {
    throw new StoreIoError(`--listen: EACCES: the socket at ${path} is another user's; choose another path`);
  }
  if (state !== "dead") return;
  try {
    await rename(path, join(folder, "dead"));
  } catch (cause) {
    // In a folder such as /tmp nobody takes away what is another's.
    if (!isMissing(cause)) throw noSocket(path, cause);
  }
}

/**
 * Held by one process at a time, and by none that has died: an address without a file, which Linux alone has. Elsewhere two
 * servers that start in the same moment over the same dead socket are not told apart.
 */
async function takeOverLock(path: string): Promise<AsyncDisposable> {
  const lock = createServer((socket) => socket.destroy());
  const { dev, ino } = await lstat(dirname(path), { bigint: true });
  const name = createHash("sha256")
    .update(`${dev}:${ino}:${basename(path)}`)
    .digest("hex");
  if (process.platform === "linux") {
    await new Promise<void>((resolve, reject) => {
      lock.on("error", () => reject(inUse(path)));
      lock.listen(`\0skein-take-over-${name}`, resolve);
    });
  }
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => lock.close(() => resolve())),
  };
}

function undefinedIfMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

const noSocket = (path: string, cause: unknown): StoreIoError =>
  new StoreIoError(`--listen: no socket can be made at ${path}: ${String(cause)}`, { cause });

const inUse = (path: string): StoreIoError =>
  new StoreIoError(`--listen: EADDRINUSE: another server listens at ${path}; stop it, or choose another path`);

type SocketState = "alive" | "dead" | "missing" | "closed";

const STATES = new Map<string | undefined, SocketState>([
  ["ECONNREFUSED", "dead"],
  ["EACCES", "closed"],
]);

/** Only a refused connection says that nobody listens. A queue that is full, a socket of another kind or owner does not. */
function stateOf(path: string): Promise<SocketState> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (state: SocketState) => {
      socket.destroy();
      resolve(state);
    };
    socket.once("connect", () => end("alive"));
    socket.on("error", (error) => {
      end(isMissing(error) ? "missing" : (STATES.get(ioCode(error)) ?? "alive"));
    });
  });
}

function removeOwn(path: string, own: Inode): void {
  try {
    if (isSame(lstatSync(path, { bigint: true }), own)) unlinkSync(path);
  } catch (error) {
    // Somebody was faster, or took the folder away.
    if (!isMissing(error)) throw error;
  }
}
