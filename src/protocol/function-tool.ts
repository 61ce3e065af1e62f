/** Functions that a model may call, as settings hold them. `tool` (src/turn/tool.ts) makes them. */
import type { ThreadId, TurnId } from "./ids.ts";
import type { ContentItem } from "./response-item.ts";

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
  /**
   * Asks the thread's user whether the call may go on, as the tools of the house do: by an `exec_approval_request`, which stands in
   * `pendingApprovals` until an `exec_approval` op or a client answers it. Resolves when it is allowed; what was allowed for the
   * session is not asked again for the same `command`. Where the approval policy is `never`, nobody is asked: it is allowed where
   * the sandbox mode leaves everything open, and denied elsewhere.
   *
   * @throws ApprovalDeniedError, whose message is what the model is to hear; the signal's reason after an `abort`, which interrupts the turn
   */
  askApproval(question?: ApprovalQuestion): Promise<void>;
};

/** What the user is asked. */
export type ApprovalQuestion = {
  readonly reason?: string | undefined;
  /** What is to be done, as a user reads it. Default: the tool's name and the call's arguments. */
  readonly command?: readonly string[] | undefined;
};

/** What a tool answers with where a text is not enough. */
export type ToolAnswer = {
  /** Whether its item is told as completed, else as failed. */
  readonly success: boolean;
  /** What the model gets. */
  readonly output: string | ContentItem[];
};

/** A function that a thread's model may call. Made by {@link tool}. */
export interface Tool {
  readonly spec: ToolSpec;
  /** What it is grouped under, where it has no name of its own in the request. */
  readonly namespace?: { readonly name: string; readonly description: string };
  /** No item tells of its calls: what they change is told by itself. */
  readonly isQuiet?: boolean;
  /** A call that was cut off by its process's end may be made once more: see `recovery` in ThreadConfig. */
  readonly idempotent?: boolean;
  /**
   * What the user is to be asked before the call does anything; undefined where nothing. A life that ends while they are asked leaves a
   * call that has done nothing, so one that goes on with the turn asks again.
   */
  asksFirst?(rawArguments: string, context: ToolContext): Promise<ApprovalQuestion | undefined>;
  /** @throws whatever the tool throws, or InvalidRequestError when the arguments do not fit. */
  call(rawArguments: string, context: ToolContext): Promise<string>;
  /** In the place of `call`, where it is there: for an answer with pictures, or one that says itself that it is a failure. */
  answer?(rawArguments: string, context: ToolContext): Promise<ToolAnswer>;
}
