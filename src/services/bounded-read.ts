/**
 * The one way in which files of unknown size and kind are read. A path may come from a client, a model or a repository, and
 * may name a pipe, a device or a file without end.
 *
 * - What stands there is looked at before it is opened, since opening a device may set it off, and once more on the
 *   handle, since it may have been replaced in between. Opening never waits.
 * - No more is read than the caller says.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { open, stat as statOf } from "node:fs/promises";
import { InvalidRequestError } from "../protocol/errors.ts";
import { isMissing } from "./io-failure.ts";

const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

function assertRegular(stat: Stats): void {
  if (!stat.isFile()) throw new InvalidRequestError("is not a regular file");
}

/** Reads at most `maxBytes` from the start of a regular file. Never waits for a pipe or a device. */
export async function readStart(path: string, maxBytes: number): Promise<{ bytes: Buffer; truncated: boolean }> {
  assertRegular(await statOf(path));
  const file = await open(path, FLAGS);
  try {
    const stat = await file.stat();
    assertRegular(stat);
    const bytes = Buffer.alloc(Math.min(stat.size, maxBytes) + 1);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return {
      bytes: bytes.subarray(0, Math.min(length, maxBytes)),
      truncated: stat.size > maxBytes || length > maxBytes,
    };
  } finally {
    await file.close();
  }
}

/** Reads a regular file whole. @throws InvalidRequestError when it is larger; else what the file system throws. */
export async function readBytes(path: string, maxBytes: number): Promise<Buffer> {
  const { bytes, truncated } = await readStart(path, maxBytes);
  if (truncated) throw tooLarge(maxBytes);
  return bytes;
}

/**
 * Reads a text file whole.
 *
 * @throws InvalidRequestError when it is larger, or no UTF-8; else what the file system throws.
 */
export const readText = async (path: string, maxBytes: number): Promise<string> =>
  textOf(await readBytes(path, maxBytes));

/** As {@link readText}, at once: for a small file that an answer must not wait for. */
export function readTextSync(path: string, maxBytes: number): string {
  assertRegular(statSync(path));
  const file = openSync(path, FLAGS);
  try {
    const stat = fstatSync(file);
    assertRegular(stat);
    const bytes = Buffer.alloc(Math.min(stat.size, maxBytes) + 1);
    let length = 0;
    for (let count = -1; count !== 0 && length < bytes.length; length += count) {
      count = readSync(file, bytes, length, bytes.length - length, length);
    }
    if (length > maxBytes) throw tooLarge(maxBytes);
    return textOf(bytes.subarray(0, length));
  } finally {
    closeSync(file);
  }
}

const tooLarge = (maxBytes: number): InvalidRequestError => new InvalidRequestError(`is larger than ${maxBytes} bytes`);

function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new InvalidRequestError("stream did not contain valid UTF-8", { cause: error });
  }
}

/**
 * Tells one state of a file from another: a write, a replacement or a removal gives another stamp. Null: no regular file there.
 * (Two writes within one tick of the file system's clock, in place and of one length, look alike.)
 *
 * Asked at every start of a thread, so it asks in place: a trip through the thread pool costs ten times as much.
 */
export async function stampOf(path: string): Promise<string | null> {
  try {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false });
    return found?.isFile() ? `${found.dev}:${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}` : null;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
