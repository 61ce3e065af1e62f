import type { Stream } from "../../../process/command-process.ts";
import type { EventMsg } from "../../../protocol/event.ts";

/** Bytes told as deltas; the rest is only counted, since a replay would hold all of it. */
const TOLD_BYTES = 1024 * 1024;

/** Tells a command's output as it comes, up to a bound. */
export function outputDeltas(
  callId: string,
  publish: (msg: EventMsg) => void,
): (stream: Stream, chunk: Buffer) => void {
  let told = 0;
  return (stream, chunk) => {
    if (told < TOLD_BYTES) {
      const part = chunk.subarray(0, TOLD_BYTES - told).toString("base64");
      publish({ type: "exec_command_output_delta", call_id: callId, stream, chunk: part });
    }
    told += chunk.length;
  };
}
