import { isJsonObject } from "../protocol/unknown-kind.ts";
import type { EndpointOptions } from "./endpoint-options.ts";
import { HttpEndpoint } from "./http-endpoint.ts";
import { knownModel } from "./known-models.ts";
import { LITE_HEADER, ownName } from "./lite-form.ts";
import type { ModelClient, ModelEvent, ModelRequest } from "./model-client.ts";
import { closedEarly, disconnected, parseJson } from "./model-failure.ts";
import { headerOf } from "./rate-limit-headers.ts";
import { responsesBody } from "./responses-body.ts";
import { modelEventOf } from "./responses-events.ts";
import { type AnswerReader, streamedAnswer } from "./streamed-answer.ts";

const MAX_MODELS_BYTES = 4 * 1024 * 1024;

/** How to reach a server of the Responses API. */
export type ResponsesClientOptions = EndpointOptions & {
  /** Default `"openai"`. */
  readonly providerId?: string | undefined;
};

/** What the server answered: its list of models, or that the list of the given ETag still holds. */
export type ModelsAnswer =
  | { readonly notModified: true }
  | { readonly notModified: false; readonly etag?: string | undefined; readonly body: unknown };

/** A client of the Responses API, which also lists the server's models. */
export interface ResponsesClient extends ModelClient {
  /** `GET <base>/models`, unread. Throws as `stream` does. */
  fetchModels(request: { readonly etag?: string | undefined; readonly signal: AbortSignal }): Promise<ModelsAnswer>;
  close(): Promise<void>;
}

/**
 * A model behind the Responses API: OpenAI, or any server that speaks it (Ollama, vLLM, LM Studio and the like). It
 * connects at the first request, and keeps its connections until `close`.
 *
 * Its streams yield `rate_limits` first, from the answer's headers. They reject with a ModelError whose message and info
 * are Codex's (SPEC 1.3 and 4.5), whose `retryable` says whether to ask again, and which holds no secret; or with the
 * signal's reason. An answer is complete at `response.completed`, whether or not the server ends the stream (Codex 0.87
 * waits for its end).
 *
 * @throws InvalidRequestError when `baseUrl` is no HTTP URL, or a number is out of range.
 */
export function responsesClient({ providerId = "openai", ...options }: ResponsesClientOptions): ResponsesClient {
  const endpoint = new HttpEndpoint(options);
  return {
    providerId,
    stream: (request, { signal }) =>
      streamedAnswer(
        endpoint,
        { path: "/responses", headers: headersOf(request), body: responsesBody(request, formOf(request)), signal },
        reader,
      ),
    fetchModels: ({ etag, signal }) => fetchModels(endpoint, etag, signal),
    close: () => endpoint.close(),
  };
}

const formOf = ({ model }: ModelRequest) => knownModel(model)?.form ?? "full";

const headersOf = (request: ModelRequest): Record<string, string> => ({
  session_id: request.threadId,
  ...(formOf(request) === "lite" && { [LITE_HEADER]: "true", "x-client-request-id": request.threadId }),
  ...(request.subagent !== undefined && { "x-openai-subagent": request.subagent }),
});

/** Every event stands for itself: one reader does for all answers. */
const reader: AnswerReader = {
  take(data, redact) {
    const event = modelEventOf(data, redact);
    return event === undefined ? [] : [withOwnNames(event)];
  },
  end() {
    throw closedEarly();
  },
};

const withOwnNames = (event: ModelEvent): ModelEvent =>
  event.type === "item_added" || event.type === "item_done" ? { ...event, item: ownName(event.item) } : event;

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
