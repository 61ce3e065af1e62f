/** Functions that a model may call, as settings hold them. `tool` (src/turn/tool.ts) makes them. */
import type { ThreadId, TurnId } from "./ids.ts";

/** A function that the model may call. `parameters` is a JSON Schema. */
export type ToolSpec = {
  readonly type: "function";
  readonly name: string;
  readonly description: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly strict: boolean;
};

/** What a tool receives with the call. `signal` fires when the turn is interrupted or the thread closed. */
export type ToolContext = {
  readonly threadId: ThreadId;
  readonly turnId: TurnId;
  readonly callId: string;
  readonly signal: AbortSignal;
};

/** A function that a thread's model may call. Made by {@link tool}. */
export interface Tool {
  readonly spec: ToolSpec;
  /** No item tells of its calls: what they change is told by itself. */
  readonly isQuiet?: boolean;
  /** A call that was cut off by its process's end may be made once more: see `recovery` in ThreadConfig. */
  readonly idempotent?: boolean;
  /** @throws whatever the tool throws, or InvalidRequestError when the arguments do not fit. */
  call(rawArguments: string, context: ToolContext): Promise<string>;
}
