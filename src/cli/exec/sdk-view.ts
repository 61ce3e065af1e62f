import type { ThreadEvent, ThreadId } from "../../index.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { SdkLines } from "./sdk-lines.ts";
import type { TurnView } from "./view.ts";

/** For `@openai/codex-sdk` and readers like it. Agents that the thread starts are not shown. */
export class SdkView implements TurnView {
  readonly #out: LineWriter;
  readonly #stderr: NodeJS.WriteStream;
  readonly #lines = new SdkLines();
  #speaker: ThreadId | undefined;
  /** The first line has to be `thread.started`: notes wait for it. */
  #notes: string[] = [];

  constructor({ stdout, stderr }: { stdout: NodeJS.WriteStream; stderr: NodeJS.WriteStream }) {
    this.#out = new LineWriter(stdout);
    this.#stderr = stderr;
  }

  get outcome(): SdkLines["outcome"] {
    return this.#lines.outcome;
  }

  note(text: string): void {
    if (this.#speaker === undefined) this.#notes.push(text);
    else this.#out.json(this.#lines.notice(text));
  }

  event({ threadId, msg }: ThreadEvent): void {
    const isFirst = this.#speaker === undefined && msg.type === "session_configured";
    if (isFirst) this.#speaker = threadId;
    // A thread that is loaded again within this process has been announced.
    if (threadId !== this.#speaker || (msg.type === "session_configured" && !isFirst)) return;
    for (const line of this.#lines.linesOf(msg)) this.#out.json(line);
    if (isFirst) for (const note of this.#notes.splice(0)) this.note(note);
  }

  result(): void {}

  flush(): void {
    for (const note of this.#notes.splice(0)) this.#stderr.write(`${note}\n`);
    this.#out.flush();
  }
}
