import { isAbsolute } from "node:path";
import { type ForkAnchor, ThreadManager, type ThreadStore } from "../../index.ts";
import { ChosenStore } from "../database.ts";
import { withStore } from "../home.ts";
import { homeOf } from "../home-folder.ts";
import { drained, type Io, isTerminal } from "../terminal/io.ts";
import { findThread } from "../thread-locator.ts";
import type { ThreadOptions } from "../thread-option.ts";

export type ForkOptions = ThreadOptions & {
  readonly beforeUserMessage?: number;
  readonly throughTurn?: string;
  readonly beforeTurn?: string;
  readonly json?: boolean;
};

export async function forkThread(options: ForkOptions, io: Io): Promise<void> {
  const { from, source } = await withStore(options, io, (store) => sourceOf(options, store, io));
  const at = anchorOf(options);
  await using chosen = await ChosenStore.of(options, io);
  await using manager = await ThreadManager.create({
    timers: "own",
    home: homeOf(options, io),
    sessionSource: "cli",
    ...chosen.options,
  });
  const config = source !== undefined && isAbsolute(source.cwd) ? { cwd: source.cwd } : {};
  const { threadId, thread } = await manager.forkThread({ from, at, config });
  const { forkedFromId } = await manager.store.get(threadId);
  const made = { threadId, forkedFromId, rolloutPath: thread.rolloutPath };
  io.stdout.write(options.json ? `${JSON.stringify(made)}\n` : `${threadId}\n`);
  if (!options.json && isTerminal(io.stderr, io.env)) {
    io.stderr.write(
      made.forkedFromId === null
        ? "nothing was inherited: a new thread\n"
        : `forked from ${typeof from === "string" ? from : from.rolloutPath}\n`,
    );
  }
  await drained(io.stdout);
}

/** The fork works in the folder of its source, wherever the command was given. */
async function sourceOf(options: ForkOptions, store: ThreadStore, io: Io) {
  const from = await findThread(options, store, io);
  return { from, source: typeof from === "string" ? await store.get(from) : undefined };
}

function anchorOf({ beforeUserMessage, throughTurn, beforeTurn }: ForkOptions): ForkAnchor {
  if (beforeUserMessage !== undefined) return { beforeUserMessage };
  if (throughTurn !== undefined) return { throughTurn };
  return beforeTurn === undefined ? "full" : { beforeTurn };
}
