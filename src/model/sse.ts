/** Server-sent events of one exchange, in the batches in which they arrive. */
import { StringDecoder } from "node:string_decoder";
import { createParser, type ParseError } from "eventsource-parser";
import type { ModelError } from "../protocol/model-error.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import type { Opened } from "./http-endpoint.ts";
import { type HttpExchange, TransportError } from "./http-exchange.ts";
import { disconnected, errorObjectOf, failureOfResponse, parseJson, textOfCause } from "./model-failure.ts";
import { headerOf } from "./rate-limit-headers.ts";

/** Room for an image in a single event. */
const MAX_EVENT_CHARS = 32 * 1024 * 1024;
const MAX_BODY_CHARS = 16 * 1024;

/**
 * The `data` of each event. What is no event is passed over; the end of the body ends the iteration.
 *
 * @throws ModelError when the body is none of events, holds one of more than {@link MAX_EVENT_CHARS} characters, or
 *   breaks off; the abort's reason.
 */
export async function* serverSentEvents({ exchange, head, redact }: Opened): AsyncGenerator<readonly string[], void> {
  const contentType = headerOf(head.headers, "content-type") ?? "";
  if (/json|html/i.test(contentType)) {
    throw notAStream(redact(await read(() => exchange.text(MAX_BODY_CHARS))), contentType);
  }
  let batch: string[] = [];
  let overflow: ParseError | undefined;
  const parser = createParser({
    maxBufferSize: MAX_EVENT_CHARS,
    onEvent: ({ data }) => batch.push(data),
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") overflow = error;
    },
  });
  const decoder = new StringDecoder("utf8");
  let isEventful = false;
  let start = "";
  for (let chunk = await next(exchange); chunk !== undefined; chunk = await next(exchange)) {
    const text = decoder.write(chunk);
    if (!isEventful && start.length < MAX_BODY_CHARS) start += text;
    parser.feed(text);
    if (batch.length > 0) {
      isEventful = true;
      const ready = batch;
      batch = [];
      yield ready;
    }
    if (overflow !== undefined) {
      throw disconnected(`an event exceeds ${MAX_EVENT_CHARS} characters`, { retryable: false, cause: overflow });
    }
  }
  if (!isEventful && start.trimStart().startsWith("{")) throw notAStream(redact(start), contentType);
}

const next = (exchange: HttpExchange): Promise<Buffer | undefined> => read(() => exchange.read());

/** A connection that breaks is a disconnected stream; aborts and our own errors pass. */
async function read<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    throw disconnected(textOfCause(error.cause), { cause: error.cause });
  }
}

function notAStream(body: string, contentType: string): ModelError {
  const json = parseJson(body);
  const error = errorObjectOf(json);
  if (error !== undefined) return failureOfResponse(error);
  const what = isJsonObject(json) ? "a JSON object" : contentType === "" ? "something else" : contentType;
  return disconnected(`expected a stream of events, got ${what}`);
}
