import * as z from "zod";
import { type GivenCollaborationMode, givenCollaborationModeSchema } from "./collaboration-mode.ts";
import { type FormContent, formContentSchema } from "./elicitation.ts";
import { InvalidRequestError } from "./errors.ts";
import { MAX_OP_DEPTH } from "./json-depth.ts";
import { jsonForm } from "./json-form.ts";
import type { ThreadMessage } from "./message.ts";
import { PERMISSION_PROFILES, type PermissionProfile } from "./permission-profile.ts";
import {
  type AskForApproval,
  askForApprovalSchema,
  type ReasoningEffort,
  type ReasoningSummary,
  type ReviewDecision,
  reasoningEffortSchema,
  reasoningSummarySchema,
  reviewDecisionSchema,
  type SandboxPolicy,
  sandboxPolicySchema,
} from "./policy.ts";
import { type ResponseItem, responseItemSchema } from "./response-item.ts";
import { isTagged, type UnknownTagged } from "./unknown-kind.ts";
import { type UserInput, userInputSchema } from "./user-input.ts";
import { type UserAnswers, userAnswersSchema } from "./user-question.ts";
import { parseWith } from "./validation.ts";

/** Ends the running turn, if there is one. */
export type InterruptOp = { type: "interrupt" };
/** Starts a turn with a user's input, or steers the one that runs. */
export type UserInputOp = {
  type: "user_input";
  items: UserInput[];
  final_output_json_schema?: unknown;
  /**
   * The client's own name for the message. Who names it follows it: when the turn that it joined is interrupted before it
   * was taken, that is, before its item was told, it is not recorded, and is the client's to send again.
   */
  client_id?: string | undefined;
  /** Ours: the user's turn that the input is a part of, where an agent is given it. */
  root_turn_id?: string | undefined;
  /** Ours: what the program itself says to the model. It stands in the history, and no item shows it. */
  is_internal?: boolean | undefined;
};
/** Sets the session's settings, which stay, and then does as user_input. */
export type UserTurnOp = {
  type: "user_turn";
  items: UserInput[];
  cwd: string;
  approval_policy: AskForApproval;
  sandbox_policy: SandboxPolicy;
  model: string;
  effort?: ReasoningEffort | null | undefined;
  summary: ReasoningSummary;
  final_output_json_schema?: unknown;
};
/** Settings only. A null `effort` or `service_tier` clears it; an absent one keeps it. */
export type OverrideTurnContextOp = {
  type: "override_turn_context";
  cwd?: string | null | undefined;
  approval_policy?: AskForApproval | null | undefined;
  sandbox_policy?: SandboxPolicy | null | undefined;
  /** In place of a policy, and over one. */
  permission_profile?: PermissionProfile | null | undefined;
  model?: string | null | undefined;
  effort?: ReasoningEffort | null | undefined;
  summary?: ReasoningSummary | null | undefined;
  service_tier?: string | null | undefined;
  /** The mode, and over `model` and `effort` its own. */
  collaboration_mode?: GivenCollaborationMode | null | undefined;
};
/** `id` is the submission id of the turn that asked. */
export type ExecApprovalOp = { type: "exec_approval"; id: string; decision: ReviewDecision };
/** Answers a patch that waits for approval. */
export type PatchApprovalOp = { type: "patch_approval"; id: string; decision: ReviewDecision };
/** Answers a `request_user_input` event. `id` is the call's, or the submission id of the turn that asked. */
export type UserInputAnswerOp = { type: "user_input_answer"; id: string; response: UserAnswers };
/** Answers what an MCP server asked the user. */
export type ResolveElicitationOp = {
  type: "resolve_elicitation";
  server_name: string;
  request_id: string | number;
  decision: "accept" | "decline" | "cancel";
  /** What an accepted form was filled in with. */
  content?: FormContent | null | undefined;
  /** What the server is told beside it, as its `_meta`. */
  meta?: Readonly<Record<string, unknown>> | null | undefined;
};
/** What somebody says whom a call has asked. */
export type AnswerOp = ExecApprovalOp | PatchApprovalOp | UserInputAnswerOp | ResolveElicitationOp;
const ANSWERS: ReadonlySet<string> = new Set([
  "exec_approval",
  "patch_approval",
  "user_input_answer",
  "resolve_elicitation",
]);
export const isAnswerOp = (op: Op): op is AnswerOp => ANSWERS.has(op.type);

/** Asks for the skills of working directories; the answer is an event. */
export type ListSkillsOp = {
  type: "list_skills";
  /** Empty: the session's own. */
  cwds?: string[] | undefined;
  force_reload?: boolean | undefined;
};
/** Takes the last turns out of the conversation; it may not run beside a turn. */
export type ThreadRollbackOp = {
  type: "thread_rollback";
  num_turns: number;
  /** Skein's own: everything from the start of this turn on goes, whatever `num_turns` says. */
  before_turn_id?: string | undefined;
};
/** Starts a review of changes, as a turn of its own. */
export type ReviewOp = {
  type: "review";
  review_request: { target: unknown; user_facing_hint?: string | null | undefined };
};
/** Replaces the thread's MCP servers, from its next turn on. */
export type RefreshMcpServersOp = {
  type: "refresh_mcp_servers";
  config: { mcp_servers: unknown; mcp_oauth_credentials_store_mode: unknown };
};

/** 0.169's thread/inject_items: what the model is to know, without a turn. */
export type InjectItemsOp = { type: "inject_items"; items: ResponseItem[] };

/** Ours: what brings a message to a thread's own logic (SEMANTICS 9); only who sends messages gives it. */
export type ThreadMessageOp = {
  type: "thread_message";
  message: ThreadMessage;
  /** The thread that sent it; null: a caller of the library. */
  from: string | null;
  topic: string | null;
  is_request: boolean;
  attempt: number;
};

/** Every op of SPEC 2. `thread_rollback` takes 0 here: the session answers it with an error event (SPEC 6.4). */
export type KnownOp =
  | InterruptOp
  | UserInputOp
  | UserTurnOp
  | OverrideTurnContextOp
  | ExecApprovalOp
  | PatchApprovalOp
  | UserInputAnswerOp
  | ResolveElicitationOp
  | { type: "add_to_history"; text: string }
  | { type: "get_history_entry_request"; offset: number; log_id: number }
  | { type: "list_mcp_tools" }
  | { type: "list_custom_prompts" }
  | { type: "list_models" }
  | ListSkillsOp
  | { type: "compact" }
  | InjectItemsOp
  | ThreadMessageOp
  | { type: "undo" }
  | ThreadRollbackOp
  | ReviewOp
  | { type: "run_user_shell_command"; command: string; timeout_ms?: number | undefined }
  | { type: "shutdown" }
  | RefreshMcpServersOp;

/** An op of a kind that this version does not know: it passes, and what takes it decides. */
export type UnknownOp = UnknownTagged;
/** What is submitted to a thread, tagged by `type`. */
export type Op = KnownOp | UnknownOp;
type OpKind = KnownOp["type"];

const of = <K extends OpKind>(kind: K) => z.literal(kind);
const bare = <K extends OpKind>(kind: K) => z.looseObject({ type: z.literal(kind) });
const text = z.string();
const count = z.int().min(0);
const approval = { id: text, decision: reviewDecisionSchema };

const schemas: { [K in OpKind]: z.ZodType<Extract<KnownOp, { type: K }>> } = {
  interrupt: bare("interrupt"),
  user_input: z.looseObject({
    type: of("user_input"),
    items: z.array(userInputSchema),
    final_output_json_schema: z.unknown().optional(),
    client_id: text.optional(),
    root_turn_id: text.optional(),
    is_internal: z.boolean().optional(),
  }),
  user_turn: z.looseObject({
    type: of("user_turn"),
    items: z.array(userInputSchema),
    cwd: text,
    approval_policy: askForApprovalSchema,
    sandbox_policy: sandboxPolicySchema,
    model: text,
    effort: reasoningEffortSchema.nullish(),
    summary: reasoningSummarySchema,
    final_output_json_schema: z.unknown().optional(),
  }),
  override_turn_context: z.looseObject({
    type: of("override_turn_context"),
    cwd: text.nullish(),
    approval_policy: askForApprovalSchema.nullish(),
    sandbox_policy: sandboxPolicySchema.nullish(),
    permission_profile: z.enum(PERMISSION_PROFILES).nullish(),
    model: text.nullish(),
    effort: reasoningEffortSchema.nullish(),
    summary: reasoningSummarySchema.nullish(),
    service_tier: text.min(1).nullish(),
    collaboration_mode: givenCollaborationModeSchema.nullish(),
  }),
  exec_approval: z.looseObject({ type: of("exec_approval"), ...approval }),
  patch_approval: z.looseObject({ type: of("patch_approval"), ...approval }),
  user_input_answer: z.looseObject({ type: of("user_input_answer"), id: text, response: userAnswersSchema }),
  resolve_elicitation: z.looseObject({
    type: of("resolve_elicitation"),
    server_name: text,
    request_id: z.union([text, z.number()]),
    decision: z.enum(["accept", "decline", "cancel"]),
    content: formContentSchema.nullish(),
    meta: z.record(text, z.unknown()).nullish(),
  }),
  add_to_history: z.looseObject({ type: of("add_to_history"), text }),
  get_history_entry_request: z.looseObject({ type: of("get_history_entry_request"), offset: count, log_id: count }),
  list_mcp_tools: bare("list_mcp_tools"),
  list_custom_prompts: bare("list_custom_prompts"),
  list_models: bare("list_models"),
  list_skills: z.looseObject({
    type: of("list_skills"),
    cwds: z.array(text).optional(),
    force_reload: z.boolean().optional(),
  }),
  compact: bare("compact"),
  inject_items: z.looseObject({ type: of("inject_items"), items: z.array(responseItemSchema) }),
  thread_message: z.looseObject({
    type: of("thread_message"),
    message: z.looseObject({ type: text }),
    from: text.nullable(),
    topic: text.nullable(),
    is_request: z.boolean(),
    attempt: count,
  }),
  undo: bare("undo"),
  thread_rollback: z.looseObject({
    type: of("thread_rollback"),
    num_turns: count,
    before_turn_id: z.string().optional(),
  }),
  review: z.looseObject({
    type: of("review"),
    review_request: z.looseObject({ target: z.unknown(), user_facing_hint: text.nullish() }),
  }),
  run_user_shell_command: z.looseObject({
    type: of("run_user_shell_command"),
    command: text,
    timeout_ms: z.int().min(0).optional(),
  }),
  shutdown: bare("shutdown"),
  refresh_mcp_servers: z.looseObject({
    type: of("refresh_mcp_servers"),
    config: z.looseObject({ mcp_servers: z.unknown(), mcp_oauth_credentials_store_mode: z.unknown() }),
  }),
};

/** The schema of each known kind. A lookup by tag in place of a union's scan, and its messages name one kind only. */
export const opSchemas: ReadonlyMap<string, z.ZodType<KnownOp>> = new Map(Object.entries(schemas));

/**
 * Reads an op. A known kind with wrong fields is refused; an unknown kind passes as it came; unknown fields survive.
 *
 * @throws InvalidRequestError such as `op user_input: items[0].text: Invalid input: expected string, received number`,
 *   also where a getter of it throws
 */
export function parseOp(value: unknown): Op {
  try {
    return readOp(value);
  } catch (error) {
    if (error instanceof InvalidRequestError) throw error;
    // A getter of the caller's, or a proxy.
    throw new InvalidRequestError("op: a field of it throws when it is read; give plain data", { cause: error });
  }
}

function readOp(value: unknown): Op {
  if (!isTagged(value)) throw new InvalidRequestError("op: type: must be a string in an object");
  const what = `op ${value.type}`;
  const op = jsonForm(value, what, MAX_OP_DEPTH);
  const schema = opSchemas.get(op.type);
  return schema === undefined ? (op as unknown as UnknownOp) : parseWith(schema, op, what);
}
