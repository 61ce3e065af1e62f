import { resolve } from "node:path";
import { InvalidRequestError, parseThreadId, type ThreadId } from "../index.ts";
import type { Io } from "./terminal/io.ts";

/** A thread as a command line names it: by its id, or by the path of its rollout file. @throws InvalidRequestError */
export function locatorOf(text: string, io: Io): ThreadId | { rolloutPath: string } {
  if (text.includes("/") || text.endsWith(".jsonl")) return { rolloutPath: resolve(io.cwd(), text) };
  return threadIdOf(text);
}

/** @throws InvalidRequestError that shows what was given */
export function threadIdOf(text: string): ThreadId {
  try {
    return parseThreadId(text);
  } catch (error) {
    throw new InvalidRequestError(`\`${text}\` is no thread id: ${(error as Error).message}`, { cause: error });
  }
}
