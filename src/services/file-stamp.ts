import { statSync } from "node:fs";
import { isMissing } from "./io-failure.ts";

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
