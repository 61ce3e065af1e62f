/**
 * The demo's orchestrator: what an embedder would write. It starts agents by messages to the supervisor and by the
 * facade, drives their turns side by side, forks one, interrupts one and removes one.
 */
import {
  ask,
  newThreadId,
  type ThreadHandle,
  type ThreadId,
  type ThreadManager,
  type Threads,
  type Tool,
} from "../../index.ts";
import type { Entry } from "./board.ts";
import { BRANCH_PROMPTS, COUNTED, ENDLESS_PROMPT, nameOf, promptOf, TOOL_SCENE } from "./scenes.ts";

/** One act of the orchestrator, beside the turns. */
export type Note = {
  readonly action: "start" | "fork" | "interrupt" | "remove";
  readonly threadId: ThreadId;
  readonly text: string;
};

export type Play = {
  /** A manager, or a cluster. */
  readonly manager: Threads;
  /** Who takes `thread.spawn`; without it all are started by the facade. */
  readonly supervisor?: ThreadManager["supervisor"];
  /** How many agents are started; the fork comes on top. */
  readonly threads: number;
  /** Turns of each. The first agent takes at least two, since it is forked at its second user message. */
  readonly turns: number;
  /** Given to the agent that uses it; left out where all threads have it. */
  readonly tool?: Tool;
  readonly signal: AbortSignal;
  /** Called with every thread before its first event. */
  readonly onEnter: (entry: Entry) => void;
  /** Called with every thread once it is made. */
  readonly onThread?: (thread: ThreadHandle) => void;
  readonly onNote: (note: Note) => void;
};

/** Who does the special things; with few agents, one does several of them. */
type Parts = { readonly tool: number; readonly interrupted: number; readonly removed: number };
const LEAD = 0;

const partsFor = (threads: number): Parts => ({
  tool: 1 % threads,
  interrupted: 2 % threads,
  removed: threads - 1,
});

/** Plays the whole demo. A failure of one agent ends it; the others stop after their turns. */
export async function orchestrate(play: Play): Promise<void> {
  const failure = new AbortController();
  const signal = AbortSignal.any([play.signal, failure.signal]);
  const lead = newThreadId();
  const stage: Stage = { ...play, signal, parts: partsFor(play.threads), lead, leadStarted: Promise.withResolvers() };
  stage.leadStarted.promise.catch(() => undefined);
  const acts = Array.from({ length: play.threads }, (_, index) =>
    perform(stage, index).catch((error: unknown) => {
      if (index === LEAD) stage.leadStarted.reject(error);
      failure.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(acts);
  signal.throwIfAborted();
}

type Stage = Play & {
  readonly parts: Parts;
  readonly lead: ThreadId;
  readonly leadStarted: PromiseWithResolvers<void>;
};

async function perform(stage: Stage, index: number): Promise<void> {
  const { parts, signal } = stage;
  const thread = await start(stage, index);
  const turns = index === LEAD ? Math.max(2, stage.turns) : stage.turns;
  for (let turn = 0; turn < turns; turn++) {
    signal.throwIfAborted();
    const usesTool = index === parts.tool && turn === turns - 1;
    await thread.run(usesTool ? TOOL_SCENE.prompt : promptOf(index, turn));
  }
  if (index === LEAD) await fork(stage, thread);
  if (index === parts.interrupted) await interrupt(stage, thread);
  if (index === parts.removed) await remove(stage, thread);
}

/** The lead and every second agent by a message to the supervisor, the others by the facade. */
async function start(stage: Stage, index: number): Promise<ThreadHandle> {
  const { manager, supervisor, lead, leadStarted, tool, signal } = stage;
  const isChild = index === 1 || index === 2;
  if (isChild) await leadStarted.promise;
  signal.throwIfAborted();
  const threadId = index === LEAD ? lead : newThreadId();
  const options = { threadId, ...(isChild && { parentThreadId: lead }) };
  const config = index === stage.parts.tool && tool !== undefined ? { tools: [tool] } : {};
  stage.onEnter({ threadId, name: nameOf(index), parentThreadId: isChild ? lead : null, forkedFromId: null });
  const isMessage = index % 2 === 0 && supervisor !== undefined;
  const { thread } = isMessage
    ? await ask(supervisor, { type: "thread.spawn", config, options })
    : await manager.startThread(config, options);
  stage.onThread?.(thread);
  stage.onNote({
    action: "start",
    threadId,
    text: `started by ${isMessage ? "the message thread.spawn" : "manager.startThread()"}`,
  });
  if (index === LEAD) leadStarted.resolve();
  return thread;
}

/** At the second user message: the fork knows the first turn only. Then both branches go on, side by side. */
async function fork(stage: Stage, source: ThreadHandle): Promise<void> {
  const { manager, signal } = stage;
  signal.throwIfAborted();
  const threadId = newThreadId();
  stage.onEnter({ threadId, name: `${nameOf(LEAD)}/2`, parentThreadId: null, forkedFromId: source.id });
  const { thread } = await manager.forkThread({ from: source.id, at: { beforeUserMessage: 1 } }, { threadId });
  stage.onThread?.(thread);
  stage.onNote({
    action: "fork",
    threadId,
    text: `forked from ${nameOf(LEAD)} at its second user message; both branches go on`,
  });
  await Promise.all([source.run(BRANCH_PROMPTS.source), thread.run(BRANCH_PROMPTS.fork)]);
}

async function interrupt(stage: Stage, thread: ThreadHandle): Promise<void> {
  stage.signal.throwIfAborted();
  const words = Promise.withResolvers<void>();
  let heard = 0;
  const listening = thread.events$.subscribe(({ msg }) => {
    if (msg.type === "agent_message_delta" && ++heard === COUNTED) words.resolve();
  });
  try {
    const turn = thread.run(ENDLESS_PROMPT);
    await Promise.race([words.promise, turn]);
    await thread.interrupt();
    const { status } = await turn;
    stage.onNote({ action: "interrupt", threadId: thread.id, text: `its endless turn ended as ${status}` });
  } finally {
    listening.unsubscribe();
  }
}

async function remove(stage: Stage, thread: ThreadHandle): Promise<void> {
  stage.signal.throwIfAborted();
  const removed = await stage.manager.removeThread(thread.id);
  const outcome = await removed?.shutdown();
  stage.onNote({ action: "remove", threadId: thread.id, text: `left the manager; its shutdown: ${outcome}` });
}
