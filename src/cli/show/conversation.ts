/** A thread's stored lines as the conversation that people remember. */
import type { ResponseItem } from "../../protocol/response-item.ts";
import type { RolloutLine } from "../../protocol/rollout.ts";
import { isUserBoundary } from "../../protocol/user-boundary.ts";
import { harmless, oneLine } from "../terminal/harmless.ts";
import type { Paint } from "../terminal/style.ts";

type EventLine = Extract<RolloutLine, { type: "event_msg" }>["payload"];

const OUTPUT_LINES = 8;

/** Takes the lines one after another and gives back each turn when the next one begins. */
export class Conversation {
  readonly #paint: Paint;
  #turn: string[] = [];
  /** A turn was announced by its own event; its user message does not open another one. */
  #announced = false;
  #userMessages = 0;

  constructor(paint: Paint) {
    this.#paint = paint;
  }

  /** The turn that this line ends; empty while it goes on. */
  take(line: RolloutLine): string[] {
    switch (line.type) {
      case "response_item":
        return this.#item(line.payload as ResponseItem);
      case "event_msg":
        return this.#event(line.payload as EventLine);
      case "compacted": {
        this.#say("dim", "— what was said before is summarized for the model from here on —");
        return [];
      }
      default:
        return [];
    }
  }

  /** The last turn. */
  end(): string[] {
    return this.#startTurn();
  }

  #startTurn(): string[] {
    const ended = this.#turn;
    this.#turn = [];
    this.#announced = false;
    return ended;
  }

  #say(format: Parameters<Paint>[0] | undefined, text: string): void {
    for (const line of harmless(text).trimEnd().split("\n")) {
      this.#turn.push(format === undefined ? line : this.#paint(format, line));
    }
  }

  #event(msg: EventLine): string[] {
    switch (msg.type) {
      case "task_started": {
        const ended = this.#startTurn();
        this.#announced = true;
        this.#say("dim", `turn ${msg.turn_id ?? ""}`.trim());
        return ended;
      }
      case "task_complete":
        this.#say("dim", endOf(msg.duration_ms, msg.turn_token_usage?.total_tokens));
        return [];
      case "turn_aborted":
        this.#say("yellow", `turn ${msg.reason}`);
        return [];
      case "thread_rolled_back":
        this.#userMessages = Math.max(0, this.#userMessages - msg.num_turns);
        this.#say("yellow", `— the last ${msg.num_turns} turn(s) were rolled back —`);
        return [];
      default:
        return [];
    }
  }

  #item(item: ResponseItem): string[] {
    if (isUserBoundary(item)) return this.#userMessage(item);
    switch (item.type) {
      case "message":
        if (item.role === "assistant") this.#say(undefined, textOf(item));
        return [];
      case "reasoning":
        if (item.summary.length > 0) this.#say("dim", `thinks: ${item.summary.map(({ text }) => text).join("\n")}`);
        return [];
      case "function_call":
        this.#say("cyan", `calls ${item.name}(${oneLine(item.arguments)})`);
        return [];
      case "custom_tool_call":
        this.#say("cyan", `calls ${item.name}(${oneLine(item.input)})`);
        return [];
      case "local_shell_call":
        this.#say("cyan", `runs ${oneLine(JSON.stringify(item.action))}`);
        return [];
      case "web_search_call":
        this.#say("cyan", `searches ${oneLine(JSON.stringify(item.action ?? {}))}`);
        return [];
      case "function_call_output":
      case "custom_tool_call_output":
        this.#output(textOf(item));
        return [];
      default:
        return [];
    }
  }

  #userMessage(item: ResponseItem): string[] {
    const ended = this.#announced ? [] : this.#startTurn();
    const [first = "", ...more] = harmless(textOf(item)).trimEnd().split("\n");
    const number = this.#paint("dim", ` (user message ${this.#userMessages})`);
    this.#turn.push(`${this.#paint("green", "> ")}${this.#paint("bold", first)}${number}`);
    for (const line of more) this.#turn.push(`  ${this.#paint("bold", line)}`);
    this.#userMessages += 1;
    return ended;
  }

  #output(text: string): void {
    const lines = harmless(text).trimEnd().split("\n");
    for (const line of lines.slice(0, OUTPUT_LINES)) this.#turn.push(this.#paint("dim", `  ${line}`));
    const left = lines.length - OUTPUT_LINES;
    if (left > 0) this.#turn.push(this.#paint("dim", `  … ${left} more lines`));
  }
}

function endOf(durationMs: number | null | undefined, tokens: number | undefined): string {
  const facts = [
    ...(typeof durationMs === "number" ? [`${durationMs} ms`] : []),
    ...(tokens === undefined ? [] : [`${tokens} tokens`]),
  ];
  return `turn complete${facts.length === 0 ? "" : ` (${facts.join(", ")})`}`;
}

function textOf(item: ResponseItem): string {
  switch (item.type) {
    case "message":
      return item.content.map(textOfPart).join("");
    case "function_call_output":
    case "custom_tool_call_output":
      return typeof item.output === "string" ? item.output : item.output.map(textOfPart).join("");
    default:
      return "";
  }
}

const textOfPart = (part: { type: string; text?: unknown }): string =>
  typeof part.text === "string" ? part.text : part.type === "input_image" ? "[image]" : "";
