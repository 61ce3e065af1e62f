import type { NewThread, ThreadEvent, TurnResult } from "../../index.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import type { TurnView } from "./view.ts";

/** For programs: a line for each event, and the result as the last one. Notes go to standard error. */
export class JsonView implements TurnView {
  readonly #out: LineWriter;
  readonly #stderr: NodeJS.WriteStream;

  constructor({ stdout, stderr }: { stdout: NodeJS.WriteStream; stderr: NodeJS.WriteStream }) {
    this.#out = new LineWriter(stdout);
    this.#stderr = stderr;
  }

  note(text: string): void {
    this.#stderr.write(`${text}\n`);
  }

  event(event: ThreadEvent): void {
    this.#out.json({ type: "event", ...event });
  }

  result({ threadId }: NewThread, { turnId, status, lastAgentMessage, output, usage, error }: TurnResult): void {
    const read = output === undefined ? {} : { output };
    this.#out.json({ type: "result", threadId, turnId, status, lastAgentMessage, ...read, usage, error });
  }

  flush(): void {
    this.#out.flush();
  }
}
