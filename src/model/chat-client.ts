import { ChatAnswer } from "./chat-answer.ts";
import { chatBody } from "./chat-body.ts";
import type { EndpointOptions } from "./endpoint-options.ts";
import { HttpEndpoint } from "./http-endpoint.ts";
import type { ModelClient } from "./model-client.ts";
import { streamedAnswer } from "./streamed-answer.ts";

/** How to reach a server of the Chat Completions API. */
export type ChatClientOptions = EndpointOptions & {
  /** Default `"chat"`. */
  readonly providerId?: string | undefined;
};

/** A client of the Chat Completions API. */
export interface ChatClient extends ModelClient {
  close(): Promise<void>;
}

/**
 * A model behind `POST <base>/chat/completions`, for servers that have no Responses API. Its streams are those of
 * `responsesClient`, with the same errors: items are made of the streamed pieces, `reasoning_content` becomes reasoning
 * items, and an answer cut at its length limit counts as a full context window, as Codex has it.
 *
 * The API carries no custom tools, local shell calls or images in tool outputs: these go as function calls, and as a
 * user's message. What it cannot carry at all (encrypted reasoning, web searches, compactions) is left out.
 *
 * @throws InvalidRequestError when `baseUrl` is no HTTP URL, or a number is out of range.
 */
export function chatClient({ providerId = "chat", ...options }: ChatClientOptions): ChatClient {
  const endpoint = new HttpEndpoint(options);
  return {
    providerId,
    stream: (request, { signal }) =>
      streamedAnswer(
        endpoint,
        {
          path: "/chat/completions",
          headers: { session_id: request.threadId },
          body: chatBody(request),
          signal,
        },
        new ChatAnswer(),
      ),
    close: () => endpoint.close(),
  };
}
