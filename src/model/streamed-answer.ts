import type { RateLimitSnapshot } from "../protocol/token-usage.ts";
import type { Ask, HttpEndpoint, Opened } from "./http-endpoint.ts";
import type { ModelEvent } from "./model-client.ts";
import { type ResponseHeaders, rateLimitsOf } from "./rate-limit-headers.ts";
import { serverSentEvents } from "./sse.ts";

/** Reads one answer's server-sent events; one is made for each answer. */
export interface AnswerReader {
  /**
   * What the event's data mean, in order; nothing after `completed`.
   * @throws ModelError when they say that the answer failed, after what it had said by then. `redact` takes the secrets out of a server's words.
   */
  take(data: string, redact: (text: string) => string): Iterable<ModelEvent>;
  /** The stream has ended. Gives what was still missing; throws ModelError when that is too much. */
  end(): Iterable<ModelEvent>;
}

/**
 * Asks, and yields `rate_limits` from the answer's headers, a refusal's too, then what the reader makes of its events.
 *
 * The answer is complete at `completed`: what else the server sends is thrown away, and the connection serves again if
 * its end comes soon. A consumer that leaves before it closes the connection, as an abort does.
 */
export async function* streamedAnswer(
  endpoint: HttpEndpoint,
  ask: Pick<Ask, "path" | "headers" | "signal"> & { readonly body: object },
  reader: AnswerReader,
): AsyncGenerator<ModelEvent, void> {
  const { path, signal } = ask;
  const headers = { accept: "text/event-stream", "content-type": "application/json", ...ask.headers };
  signal.throwIfAborted();
  let limits: RateLimitSnapshot | undefined;
  const onRefusal = (told: ResponseHeaders) => {
    limits = rateLimitsOf(told);
  };
  let opened: Opened;
  try {
    opened = await endpoint.open({
      ...{ method: "POST", path, headers, signal, onRefusal },
      body: JSON.stringify(ask.body),
    });
  } catch (error) {
    if (limits !== undefined && saysSomething(limits)) yield { type: "rate_limits", snapshot: limits };
    throw error;
  }
  let isComplete = false;
  try {
    yield { type: "rate_limits", snapshot: rateLimitsOf(opened.head.headers) };
    for await (const batch of serverSentEvents(opened)) {
      for (const data of batch) {
        for (const event of reader.take(data, opened.redact)) {
          signal.throwIfAborted();
          isComplete = event.type === "completed";
          yield event;
          if (isComplete) return;
        }
      }
    }
    yield* reader.end();
  } finally {
    if (isComplete) opened.exchange.release();
    else opened.exchange.destroy(new Error("the reader left"));
  }
}

const saysSomething = (limits: RateLimitSnapshot): boolean => Object.values(limits).some((each) => each !== null);
