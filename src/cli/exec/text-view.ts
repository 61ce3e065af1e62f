import type { NewThread, ThreadEvent, ThreadId, TurnResult } from "../../index.ts";
import { harmless } from "../terminal/harmless.ts";
import { type Io, isTerminal } from "../terminal/io.ts";
import { type Paint, paintFor } from "../terminal/style.ts";
import { type Activity, activityOf } from "./activity.ts";
import type { TurnView } from "./view.ts";

const COLOURS: Record<Activity["tone"], Parameters<Paint>[0]> = {
  tool: "cyan",
  quiet: "dim",
  warning: "yellow",
  error: "red",
};

/** For people: the answer on standard output as it comes, all else on standard error. */
export class TextView implements TurnView {
  readonly #stdout: NodeJS.WriteStream;
  readonly #stderr: NodeJS.WriteStream;
  readonly #paint: Paint;
  /** Only the final message is printed. */
  readonly #finalOnly: boolean;
  readonly #isTerminal: boolean;
  /** The thread that speaks; agents that it starts are shown by what they do. */
  #speaker: ThreadId | undefined;
  /** What a reviewer's thread does is told as the speaker's own too, but for its thoughts. */
  #isReviewing = false;
  /** Of the turn that runs. */
  #toldError: string | undefined;
  #streamed = false;
  #midLine = false;

  constructor(io: Io, { finalOnly = false }: { finalOnly?: boolean } = {}) {
    this.#stdout = io.stdout;
    this.#stderr = io.stderr;
    this.#paint = paintFor(io.stderr);
    this.#finalOnly = finalOnly;
    this.#isTerminal = isTerminal(io.stdout, io.env);
  }

  note(text: string): void {
    this.#aside("dim", text);
  }

  event({ threadId, msg }: ThreadEvent): void {
    if (msg.type === "session_configured") this.#speaker ??= threadId;
    const isSpeaker = threadId === this.#speaker;
    if (!isSpeaker && this.#isReviewing && msg.type !== "agent_reasoning") return;
    if (msg.type === "entered_review_mode") this.#isReviewing = true;
    else if (msg.type === "exited_review_mode") this.#isReviewing = false;
    if (isSpeaker && msg.type === "error") this.#toldError = msg.message;
    if (isSpeaker && msg.type === "agent_message_delta") this.#say(msg.delta);
    else if (isSpeaker && msg.type === "agent_message") this.#endMessage(msg.message);
    else {
      const activity = activityOf(msg);
      if (activity !== undefined) this.#aside(COLOURS[activity.tone], activity.text);
    }
  }

  result({ threadId }: NewThread, { status, lastAgentMessage, usage, error }: TurnResult): void {
    this.#endLine();
    if (this.#finalOnly && status === "completed") this.#stdout.write(`${lastAgentMessage ?? ""}\n`);
    if (error !== null && status === "failed" && error.message !== this.#toldError)
      this.#aside("red", `error: ${error.message}`);
    this.#toldError = undefined;
    const tokens = usage === null ? "" : `${usage.input_tokens} tokens in, ${usage.output_tokens} out; `;
    this.#aside("dim", `${tokens}go on with: skein exec resume ${threadId} PROMPT`);
  }

  flush(): void {
    this.#endLine();
  }

  #say(delta: string): void {
    if (this.#finalOnly) return;
    this.#streamed = true;
    const text = this.#isTerminal ? harmless(delta) : delta;
    if (text === "") return;
    this.#stdout.write(text);
    this.#midLine = !text.endsWith("\n");
  }

  /** A message that did not come in pieces comes as a whole. */
  #endMessage(message: string): void {
    if (!this.#streamed) this.#say(message);
    this.#streamed = false;
    this.#endLine();
  }

  #endLine(): void {
    if (this.#midLine) this.#stdout.write("\n");
    this.#midLine = false;
  }

  #aside(format: Parameters<Paint>[0], text: string): void {
    this.#endLine();
    for (const line of harmless(text).split("\n")) this.#stderr.write(`${this.#paint(format, line)}\n`);
  }
}
