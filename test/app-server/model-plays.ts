/** What the model of a recorded session answers: one play for each request, over real HTTP. */
import type { ServerResponse } from "node:http";
import type { Received, Reply } from "../model/model-server.ts";
import { sse } from "../model/model-server.ts";
import type { Json } from "./test-client.ts";

type Event = { type: string; [field: string]: unknown };

/** A plain HTTP answer; or events, after which the stream ends or is left open. */
export type Play =
  | { readonly status: number; readonly body: Json; readonly headers?: Readonly<Record<string, string>> }
  | { readonly events: readonly Event[]; readonly ending?: "end" | "hang"; readonly pause?: Pause };

/** After how many of its events an answer rests, and for how long: as long as the recorded one did, or so. */
export type Pause = { readonly after: number; readonly ms: number };

/** The nth request's body, as it was sent. */
export type ModelRequest = { readonly body: Json; readonly n: number };

/** Plays in order, or chosen for each request. Where there is none, the model says `ack: ` and the user's last text. */
export type ModelScript = readonly (Play | undefined)[] | ((request: ModelRequest) => Play | undefined);

let made = 0;
const freshId = (prefix: string): string => {
  made += 1;
  return `${prefix}_play_${made}`;
};

const usageOf = (input: number, output: number) => ({
  input_tokens: input,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: output,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: input + output,
});

const itemDone = (item: Json): Event => ({ type: "response.output_item.done", output_index: 0, item });

/** A message in as many deltas as it has words, or in those given. */
export function saying(text: string, deltas: readonly string[] = text.match(/\S+\s*/g) ?? []): Event[] {
  const item = { type: "message", role: "assistant", id: freshId("msg") };
  const place = { item_id: item.id, output_index: 0, content_index: 0 };
  return [
    { type: "response.output_item.added", output_index: 0, item: { ...item, content: [] } },
    ...deltas.map((delta) => ({ type: "response.output_text.delta", ...place, delta })),
    itemDone({ ...item, content: [{ type: "output_text", text }] }),
  ];
}

/** The same message in one of a turn's phases. */
export const inPhase = (phase: string, events: readonly Event[]): Event[] =>
  events.map((event) => (event.item === undefined ? event : { ...event, item: { ...(event.item as Json), phase } }));

/** A search of the web that the model's server has done. */
export function searching(action?: Json, status = "completed"): Event[] {
  const item = { type: "web_search_call", id: freshId("ws") };
  return [
    { type: "response.output_item.added", output_index: 0, item: { ...item, status: "in_progress" } },
    itemDone({ ...item, status, ...(action === undefined ? {} : { action }) }),
  ];
}

/** Reasoning with one summary part, in as many deltas as it has words. */
export function thinking(summary: string): Event[] {
  const item = { type: "reasoning", id: freshId("rs") };
  const place = { item_id: item.id, summary_index: 0 };
  return [
    { type: "response.output_item.added", output_index: 0, item: { ...item, summary: [] } },
    { type: "response.reasoning_summary_part.added", ...place },
    ...(summary.match(/\S+\s*/g) ?? []).map((delta) => ({
      type: "response.reasoning_summary_text.delta",
      ...place,
      delta,
    })),
    itemDone({ ...item, summary: [{ type: "summary_text", text: summary }], encrypted_content: "bW9jaw==" }),
  ];
}

/** A function call. Arguments given as text are sent as they are. */
export const calling = (name: string, args: Json, call: { callId: string; namespace?: string }): Event[] => [
  itemDone({
    type: "function_call",
    id: freshId("fc"),
    call_id: call.callId,
    name,
    ...(call.namespace === undefined ? {} : { namespace: call.namespace }),
    arguments: typeof args === "string" ? args : JSON.stringify(args),
  }),
];

/** A call of a tool that takes free text. */
export const customCalling = (name: string, input: string, call: { callId: string }): Event[] => [
  itemDone({
    type: "custom_tool_call",
    id: freshId("ctc"),
    call_id: call.callId,
    name,
    input,
    status: "completed",
  }),
];

const created = (id: string): Event => ({ type: "response.created", response: { id } });

/** A whole answer. */
export const answer = (...items: Event[][]): Play => answerWith({ input: 100, output: 20 }, ...items);

/** A whole answer that costs so many tokens. */
export function answerWith({ input, output }: { input: number; output: number }, ...items: Event[][]): Play {
  const id = freshId("resp");
  const completed = { type: "response.completed", response: { id, usage: usageOf(input, output) } };
  return { events: [created(id), ...items.flat(), completed] };
}

/** An answer that begins and never ends. `events` may be cut anywhere. */
export const hanging = (events: readonly Event[]): Play => ({
  events: [created(freshId("resp")), ...events],
  ending: "hang",
});

/** An answer that the model's server ends early, and says so. */
export function incomplete(reason: string | undefined, ...items: Event[][]): Play {
  const id = freshId("resp");
  const details = reason === undefined ? {} : { incomplete_details: { reason } };
  const end = { type: "response.incomplete", response: { id, ...details, usage: usageOf(50, 5) } };
  return { events: [created(id), ...items.flat(), end] };
}

/** An answer whose stream ends without a word. */
export const closing = (...items: Event[][]): Play => ({ events: [created(freshId("resp")), ...items.flat()] });

/** An answer that the model's server ends as failed. */
export function failing(code: string, message: string): Play {
  const id = freshId("resp");
  const response = { id, object: "response", status: "failed", error: { code, message } };
  return { events: [created(id), { type: "response.failed", response }] };
}

/** The reply of a ModelServer that plays a script. */
export function replyOf(script: ModelScript = []): Reply {
  let n = 0;
  return (response, request) => {
    if (request.method !== "POST") {
      response.writeHead(404, { "content-type": "application/json" }).end('{"error":{"message":"not found"}}');
      return;
    }
    const body = bodyOf(request);
    const play = typeof script === "function" ? script({ body, n }) : script[n];
    n += 1;
    perform(play ?? answer(saying(`ack: ${lastUserText(body)}`)), response);
  };
}

function perform(play: Play, response: ServerResponse): void {
  if ("status" in play) {
    const headers = { "content-type": "application/json", ...play.headers };
    response.writeHead(play.status, headers).end(JSON.stringify(play.body));
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const { events, ending, pause } = play;
  response.write(sse(...events.slice(0, pause?.after)));
  const goOn = () => {
    if (pause !== undefined) response.write(sse(...events.slice(pause.after)));
    if (ending !== "hang") response.end();
  };
  if (pause === undefined) goOn();
  else setTimeout(goOn, pause.ms);
}

const bodyOf = ({ body }: Received): Json => JSON.parse(body);

/** The last text of the user's role in a model request, whoever wrote it. */
export function lastUserText(body: Json): string {
  const users = body.input.filter((item: Json) => item.type === "message" && item.role === "user");
  return (users.at(-1)?.content ?? []).map((part: Json) => part.text ?? "").join("");
}
