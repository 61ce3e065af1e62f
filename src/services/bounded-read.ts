import { constants, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { InvalidRequestError } from "../protocol/errors.ts";
import { isMissing } from "./io-failure.ts";

/** Reads at most `maxBytes` from the start of a regular file. Never waits for a pipe or a device. */
export async function readStart(path: string, maxBytes: number): Promise<{ bytes: Buffer; truncated: boolean }> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new InvalidRequestError("is not a regular file");
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

/**
 * Reads a text file whole.
 *
 * @throws InvalidRequestError when it is larger, or no UTF-8; else what the file system throws.
 */
export async function readText(path: string, maxBytes: number): Promise<string> {
  const { bytes, truncated } = await readStart(path, maxBytes);
  if (truncated) throw new InvalidRequestError(`is larger than ${maxBytes} bytes`);
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
