/**
 * A model behind the Responses API: OpenAI, or any server that speaks it (Ollama, vLLM, LM Studio and the like).
 *
 * R1 An answer is complete at `response.completed`, whether or not the server ends the stream; Codex 0.87 waits for the
 *    end. What else comes is thrown away, and the connection serves again if it ends soon.
 * R2 A consumer that leaves before `completed` closes the connection, as an abort does.
 */
import { isJsonObject } from "../protocol/unknown-kind.ts";
import { type EndpointOptions, HttpEndpoint } from "./http-endpoint.ts";
import type { ModelClient, ModelEvent, ModelRequest } from "./model-client.ts";
import { closedEarly, disconnected, parseJson } from "./model-failure.ts";
import { headerOf, rateLimitsOf } from "./rate-limit-headers.ts";
import { responsesBody } from "./responses-body.ts";
import { modelEventOf } from "./responses-events.ts";
import { serverSentEvents } from "./sse.ts";

const MAX_MODELS_BYTES = 4 * 1024 * 1024;

export type ResponsesClientOptions = EndpointOptions & {
  /** Default `"openai"`. */
  readonly providerId?: string | undefined;
};

/** What the server answered: its list of models, or that the list of the given ETag still holds. */
export type ModelsAnswer =
  | { readonly notModified: true }
  | { readonly notModified: false; readonly etag?: string | undefined; readonly body: unknown };

export interface ResponsesClient extends ModelClient {
  /** `GET <base>/models`, unread. Throws as `stream` does. */
  fetchModels(request: { readonly etag?: string | undefined; readonly signal: AbortSignal }): Promise<ModelsAnswer>;
  close(): Promise<void>;
}

/**
 * Makes a client of one server. It connects at the first request, and keeps its connections until `close`.
 *
 * Its streams yield `rate_limits` first, from the answer's headers. They reject with a ModelError whose message and info
 * are Codex's (SPEC 1.3 and 4.5), whose `retryable` says whether to ask again, and which holds no secret; or with the
 * signal's reason.
 *
 * @throws InvalidRequestError when `baseUrl` is no HTTP URL, or a number is out of range.
 */
export function responsesClient({ providerId = "openai", ...options }: ResponsesClientOptions): ResponsesClient {
  const endpoint = new HttpEndpoint(options);
  return {
    providerId,
    stream: (request, { signal }) => answer(endpoint, request, signal),
    fetchModels: ({ etag, signal }) => fetchModels(endpoint, etag, signal),
    close: () => endpoint.close(),
  };
}

async function* answer(endpoint: HttpEndpoint, request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent> {
  signal.throwIfAborted();
  const opened = await endpoint.open({
    method: "POST",
    path: "/responses",
    headers: {
      accept: "text/event-stream",
      "content-type": "application/json",
      session_id: request.threadId,
      ...(request.subagent !== undefined && { "x-openai-subagent": request.subagent }),
    },
    body: JSON.stringify(responsesBody(request)),
    signal,
  });
  let isComplete = false;
  try {
    yield { type: "rate_limits", snapshot: rateLimitsOf(opened.head.headers) };
    for await (const batch of serverSentEvents(opened)) {
      for (const data of batch) {
        signal.throwIfAborted();
        const event = modelEventOf(data, opened.redact);
        if (event === undefined) continue;
        isComplete = event.type === "completed";
        yield event;
        if (isComplete) return;
      }
    }
    throw closedEarly();
  } finally {
    if (isComplete) opened.exchange.release();
    else opened.exchange.destroy(new Error("the reader left"));
  }
}

async function fetchModels(
  endpoint: HttpEndpoint,
  etag: string | undefined,
  signal: AbortSignal,
): Promise<ModelsAnswer> {
  const headers = { accept: "application/json", ...(etag !== undefined && { "if-none-match": etag }) };
  const { exchange, head } = await endpoint.open(
    { method: "GET", path: "/models", headers, signal },
    { accepts: [304] },
  );
  const body = parseJson(await exchange.text(MAX_MODELS_BYTES));
  if (head.status === 304) return { notModified: true };
  if (!isJsonObject(body)) throw disconnected("the list of models is no JSON object");
  return { notModified: false, etag: headerOf(head.headers, "etag"), body };
}
