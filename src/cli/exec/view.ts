import type { NewThread, ThreadEvent, TurnResult } from "../../index.ts";

/** One way to show a thread at work. */
export interface TurnView {
  /** Something about the surroundings, in one line. */
  note(text: string): void;
  event(event: ThreadEvent): void;
  /** The turn has ended. */
  result(thread: NewThread, result: TurnResult): void;
  /** Puts out what is held back. */
  flush(): void;
}
