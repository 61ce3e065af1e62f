import type { ModelClient, ModelEvent, ModelRequest } from "../../src/model/model-client.ts";
import type { ThreadId, TurnId } from "../../src/protocol/ids.ts";
import { userMessage } from "../../src/protocol/response-item.ts";

export const THREAD_ID = "01a201ef-522e-7860-87b2-7afd4537032f" as ThreadId;

/** A request that says `text`, as the first message of a thread. */
export const asking = (text: string, fields: Partial<ModelRequest> = {}): ModelRequest => ({
  threadId: THREAD_ID,
  turnId: "0" as TurnId,
  model: "test-model",
  instructions: "Be brief.",
  input: [userMessage(text)],
  tools: [],
  parallelToolCalls: false,
  reasoning: { effort: null, summary: null },
  ...fields,
});

/** Every event of one answer. */
export async function answer(
  client: ModelClient,
  request: ModelRequest = asking("hello"),
  signal: AbortSignal = new AbortController().signal,
): Promise<ModelEvent[]> {
  const events: ModelEvent[] = [];
  for await (const event of client.stream(request, { signal })) events.push(event);
  return events;
}

export const typesOf = (events: readonly ModelEvent[]): string[] => events.map((event) => event.type);

export const textDeltas = (events: readonly ModelEvent[]): string[] =>
  events.flatMap((event) => (event.type === "text_delta" ? [event.delta] : []));
