/** A client's side of a worker's live events. */
import { connect } from "node:http2";
import { createParser } from "eventsource-parser";
import type { ThreadId } from "../protocol/ids.ts";
import { LIVE_PATH, type NOW } from "./live-side.ts";
import type { LiveFrame, Run } from "./wire.ts";

const SILENCE_MS = 30_000;

/**
 * The frames that a worker tells, until it has no more, the connection ends or nothing comes for 30 s. Never throws: what is
 * missing is read from the history.
 */
export async function* liveFrames(
  threadId: ThreadId,
  { url, key }: Run,
  { after, signal }: { readonly after: number | typeof NOW; readonly signal: AbortSignal },
): AsyncGenerator<LiveFrame, void> {
  if (url === null) return;
  const frames: LiveFrame[] = [];
  let wake: (() => void) | undefined;
  let isOver = false;
  const end = () => {
    isOver = true;
    wake?.();
  };
  const parser = createParser({
    onEvent: ({ data }) => {
      frames.push(JSON.parse(data) as LiveFrame);
      wake?.();
    },
  });
  const session = connect(url);
  session.on("error", end);
  session.on("close", end);
  signal.addEventListener("abort", end, { once: true });
  const stream = session.request({
    ":path": `${LIVE_PATH}threads/${threadId}/events?after=${after}`,
    authorization: `Bearer ${key}`,
  });
  stream.setEncoding("utf8");
  stream.setTimeout(SILENCE_MS, end);
  stream.on("response", ({ ":status": status }) => status !== 200 && end());
  stream.on("data", (part: string) => {
    if (!isOver) parser.feed(part);
  });
  stream.on("error", end);
  stream.on("end", end);
  try {
    for (;;) {
      const frame = frames.shift();
      if (frame !== undefined) yield frame;
      else if (isOver) return;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
      }
    }
  } finally {
    signal.removeEventListener("abort", end);
    session.destroy();
  }
}
