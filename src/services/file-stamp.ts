import { stat } from "node:fs/promises";
import { isMissing } from "./io-failure.ts";

/**
 * Tells one state of a file from another: a write, a replacement or a removal gives another stamp. Null: no regular file there.
 * (Two writes within one tick of the file system's clock, in place and of one length, look alike.)
 */
export async function stampOf(path: string): Promise<string | null> {
  try {
    const found = await stat(path, { bigint: true });
    return found.isFile() ? `${found.dev}:${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}` : null;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
