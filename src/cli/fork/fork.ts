import { isAbsolute } from "node:path";
import { type ForkAnchor, type StoredThread, type ThreadId, ThreadManager } from "../../index.ts";
import { homeOf, withStore } from "../home.ts";
import { drained, type Io, isTerminal } from "../terminal/io.ts";
import { locatorOf } from "../thread-locator.ts";
import type { ForkOptions } from "./command.ts";

export async function forkThread(text: string, options: ForkOptions, io: Io): Promise<void> {
  const from = locatorOf(text, io);
  const at = anchorOf(options);
  const source = typeof from === "string" ? await sourceOf(from, options, io) : undefined;
  await using manager = await ThreadManager.create({ home: homeOf(options, io), sessionSource: "cli" });
  const config = source !== undefined && isAbsolute(source.cwd) ? { cwd: source.cwd } : {};
  const { threadId, thread } = await manager.forkThread({ from, at, config });
  const { forkedFromId } = await manager.store.get(threadId);
  const made = { threadId, forkedFromId, rolloutPath: thread.rolloutPath };
  io.stdout.write(options.json ? `${JSON.stringify(made)}\n` : `${threadId}\n`);
  if (!options.json && isTerminal(io.stderr, io.env)) {
    io.stderr.write(made.forkedFromId === null ? "nothing was inherited: a new thread\n" : `forked from ${text}\n`);
  }
  await drained(io.stdout);
}

/** The fork works in the folder of its source, wherever the command was given. */
const sourceOf = (threadId: ThreadId, options: ForkOptions, io: Io): Promise<StoredThread> =>
  withStore(options, io, (store) => store.get(threadId));

function anchorOf({ beforeUserMessage, throughTurn, beforeTurn }: ForkOptions): ForkAnchor {
  if (beforeUserMessage !== undefined) return { beforeUserMessage };
  if (throughTurn !== undefined) return { throughTurn };
  return beforeTurn === undefined ? "full" : { beforeTurn };
}
