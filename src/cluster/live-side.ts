/**
 * A worker's own HTTP side: the events of a thread that runs here, as server-sent events, to whoever has the key that the thread's
 * run was given; it comes to clients by way of the engine. A stored event is told when it is stored, so nobody sees what a death could take back.
 */
import { timingSafeEqual } from "node:crypto";
import type { ThreadEvent } from "../protocol/event.ts";
import { parseThreadId, type ThreadId } from "../protocol/ids.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { ordinalOf } from "../thread/stored-place.ts";
import type { Attendance } from "./attendance.ts";
import type { LiveFrame } from "./wire.ts";

export const LIVE_PATH = "/skein/";

export type LiveAnswer = {
  readonly status: number;
  readonly type: string;
  readonly body: AsyncIterable<string>;
};

/** A client that has joined in the middle: what was said before is in the state, or stored. */
export const NOW = "now";

const HEARTBEAT_MS = 10_000;

async function* said(text: string): AsyncGenerator<string> {
  yield text;
}

const plain = (status: number, text: string): LiveAnswer => ({ status, type: "text/plain", body: said(`${text}\n`) });

export type LiveHost = {
  readonly isDraining: boolean;
  /** Of the thread itself, or of the one whose turn has started it. */
  attendanceOf(threadId: ThreadId): Attendance | undefined;
};

/** `GET /skein/health` says whether new turns are taken; `GET /skein/threads/ID/events` needs `Authorization: Bearer KEY`. */
export function answerLive(
  host: LiveHost,
  { url, authorization, signal }: { url: string; authorization: string | undefined; signal: AbortSignal },
): LiveAnswer {
  const { pathname, searchParams } = new URL(url, "http://worker");
  if (pathname === `${LIVE_PATH}health`) return host.isDraining ? plain(503, "draining") : plain(200, "ok");
  const [, id] = /^\/skein\/threads\/([0-9a-f-]{36})\/events$/.exec(pathname) ?? [];
  if (id === undefined) return plain(404, "not found");
  const threadId = parseThreadId(id);
  const attendance = host.attendanceOf(threadId);
  const live = attendance?.agent(threadId);
  // Whoever has no key learns nothing, not even whether the thread is here.
  if (attendance === undefined || live === undefined || !isKey(authorization, attendance.key))
    return plain(403, "forbidden");
  const after = searchParams.get("after");
  const place = after === NOW ? NOW : Number.isSafeInteger(Number(after ?? -1)) ? Number(after ?? -1) : -1;
  return { status: 200, type: "text/event-stream", body: frames(live, place, signal) };
}

function isKey(authorization: string | undefined, key: string): boolean {
  const given = Buffer.from(authorization ?? "");
  const right = Buffer.from(`Bearer ${key}`);
  return given.length === right.length && timingSafeEqual(given, right);
}

const frame = (content: LiveFrame): string => `data: ${JSON.stringify(content)}\n\n`;

async function* frames(live: LiveThread, after: number | typeof NOW, signal: AbortSignal): AsyncGenerator<string> {
  const position = await storedPosition(live);
  const { epoch, status, activeTurn = null, pendingApprovals, pendingUserQuestions } = live;
  const { start: base, log } = live.incarnation.door;
  const seq = log.next - 1;
  const events = live.events({ after: after === NOW ? seq : after, signal });
  const shown = { epoch, status, activeTurn, pendingApprovals, pendingUserQuestions };
  yield frame({ kind: "state", state: { ...shown, base, position, seq } });
  let next = events.next();
  for (;;) {
    const result = await orBeat(next);
    if (result === "beat") {
      yield ": \n\n";
      continue;
    }
    if (result.done || result.value.epoch !== epoch) return;
    yield frame(await placed(live, result.value));
    next = events.next();
  }
}

/** Where the thread's lines end, once nothing more comes while they are stored. */
async function storedPosition({ incarnation: { writer, storage } }: LiveThread): Promise<number> {
  for (;;) {
    const { ordinal } = writer.position();
    await storage.flush();
    if (writer.position().ordinal === ordinal) return ordinal;
  }
}

async function placed({ incarnation }: LiveThread, event: ThreadEvent): Promise<LiveFrame> {
  const ordinal = ordinalOf(event.msg) ?? null;
  // What a question stands on is stored before anybody sees the question, so that the next worker asks it again.
  const isQuestion = /_approval_request$|^elicitation_request$|^request_user_input$/.test(event.msg.type);
  if (ordinal !== null || isQuestion) await incarnation.storage.flush();
  return { kind: "event", event, ordinal };
}

async function orBeat<T>(next: Promise<T>): Promise<T | "beat"> {
  let timer: NodeJS.Timeout | undefined;
  const beat = new Promise<"beat">((resolve) => {
    timer = setTimeout(() => resolve("beat"), HEARTBEAT_MS);
  });
  try {
    return await Promise.race([next, beat]);
  } finally {
    clearTimeout(timer);
  }
}
