/** A loopback Responses API whose answers follow from what the user wrote last. */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type InputItem = { type: string; role?: string; content?: readonly { text?: string }[]; call_id?: string };
type Request = { model: string; input: readonly InputItem[]; text?: { format?: { type?: string } } };
type Event = { type: string; [field: string]: unknown };

const USAGE = { input_tokens: 100, output_tokens: 10, total_tokens: 110 };

/**
 * - `run COMMAND`: calls exec_command, then says `ran it`.
 * - `escalate COMMAND`: the same, asking to leave the sandbox.
 * - `call TOOL`: calls a function tool without arguments, then says `ran it`.
 * - `patch FILE`: adds a file with apply_patch, then says `ran it`.
 * - `wait ...`: says `waiting`, and goes on until the client leaves or `release` is called.
 * - `think ...`: has a reasoning summary before the answer.
 * - `fail ...`: fails.
 * - anything else: `ack: <the text>`, in two pieces.
 */
export class ModelServer implements AsyncDisposable {
  readonly requests: Request[] = [];
  readonly #server: Server;
  readonly #held = new Set<() => void>();
  #answers = 0;

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        if (request.method !== "POST" || !/^\/v1\/responses(\?|$)/.test(request.url ?? "")) {
          response.writeHead(404, { "content-type": "application/json" }).end('{"error":{"message":"not found"}}');
          return;
        }
        const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Request;
        this.requests.push(body);
        this.#answer(body, response);
      });
    });
  }

  static async listen(): Promise<ModelServer> {
    const server = new ModelServer();
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  /** Ends the answers that wait. */
  release(): void {
    for (const finish of [...this.#held]) finish();
  }

  #answer(body: Request, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const write = (event: Event) => response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    this.#answers += 1;
    const id = `resp_${this.#answers}`;
    write({ type: "response.created", response: { id } });
    const asked = lastUserText(body);
    const isCalled = body.input.at(-1)?.type.endsWith("_output") === true;
    const [verb = "", ...words] = asked.split(" ");
    if (verb === "wait" && !isCalled) {
      const finish = () => {
        this.#held.delete(finish);
        if (response.destroyed) return;
        for (const event of message(`msg_${id}`, "waited")) write(event);
        write({ type: "response.completed", response: { id, usage: USAGE } });
        response.end();
      };
      this.#held.add(finish);
      response.once("close", () => this.#held.delete(finish));
      for (const event of opening(`msg_${id}`, "waiting")) write(event);
      return;
    }
    if (verb === "fail") {
      write({ type: "response.failed", response: { id, error: { code: "invalid_prompt", message: "it failed" } } });
      response.end();
      return;
    }
    const rest = words.join(" ");
    if (verb === "think") for (const event of thoughts(`rs_${this.#answers}`)) write(event);
    const call = isCalled ? undefined : callOf(verb, rest, `call_${this.#answers}`);
    if (call !== undefined) write({ type: "response.output_item.done", output_index: 0, item: call });
    else {
      const wantsJson = body.text?.format?.type === "json_schema";
      const text = wantsJson ? '{"title":"Scripted title"}' : isCalled ? "ran it" : `ack: ${asked}`;
      for (const event of message(`msg_${this.#answers}`, text)) write(event);
    }
    write({ type: "response.completed", response: { id, usage: USAGE } });
    response.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function callOf(verb: string, rest: string, callId: string): unknown {
  const call = { type: "function_call", id: `fc_${callId}`, call_id: callId };
  if (verb === "run" || verb === "escalate") {
    const asked = verb === "run" ? {} : { sandbox_permissions: "require_escalated", justification: "It has to" };
    return { ...call, name: "exec_command", arguments: JSON.stringify({ cmd: rest, login: false, ...asked }) };
  }
  if (verb === "call") return { ...call, name: rest, arguments: "{}" };
  if (verb !== "patch") return undefined;
  const input = `*** Begin Patch\n*** Add File: ${rest}\n+made\n*** End Patch`;
  return { type: "custom_tool_call", id: `ct_${callId}`, call_id: callId, name: "apply_patch", input };
}

const messageItem = (id: string) => ({ type: "message", role: "assistant", id });

const opening = (id: string, delta: string): Event[] => [
  { type: "response.output_item.added", output_index: 0, item: { ...messageItem(id), content: [] } },
  { type: "response.output_text.delta", item_id: id, output_index: 0, content_index: 0, delta },
];

function message(id: string, text: string): Event[] {
  const half = Math.ceil(text.length / 2);
  return [
    ...opening(id, text.slice(0, half)),
    {
      type: "response.output_text.delta",
      item_id: id,
      output_index: 0,
      content_index: 0,
      delta: text.slice(half),
    },
    {
      type: "response.output_item.done",
      output_index: 0,
      item: { ...messageItem(id), content: [{ type: "output_text", text }] },
    },
  ];
}

function thoughts(id: string): Event[] {
  const place = { item_id: id, output_index: 0, summary_index: 0 };
  const text = "**Looking** at it";
  return [
    { type: "response.output_item.added", output_index: 0, item: { type: "reasoning", id, summary: [] } },
    { type: "response.reasoning_summary_part.added", ...place },
    { type: "response.reasoning_summary_text.delta", ...place, delta: text },
    {
      type: "response.output_item.done",
      output_index: 0,
      item: { type: "reasoning", id, summary: [{ type: "summary_text", text }], encrypted_content: "c2VjcmV0" },
    },
  ];
}

/** What the user wrote last, without what the programs themselves add. */
export function lastUserText({ input }: Request): string {
  const texts = input.flatMap((item) => {
    if (item.type !== "message" || item.role !== "user") return [];
    const text = (item.content ?? []).map((part) => part.text ?? "").join("");
    return /^\s*(<environment_context>|# AGENTS\.md|<user_instructions>|<permissions|<skill)/.test(text) ? [] : [text];
  });
  // The AI SDK's provider writes who speaks before each text.
  return (texts.at(-1) ?? "").replace(/^User: /, "");
}
