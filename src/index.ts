import "./node-version.ts";

export type { ThreadCommand, ThreadEmitted, ThreadInput } from "../machines/thread.machine.ts";
export type { Clock } from "./kernel/clock.ts";
export type { SkeinLogger } from "./kernel/log.ts";
export {
  AgentControl,
  type AgentOptions,
  type AgentPrompt,
  type SubmitOptions,
  type WaitForOptions,
  type WaitOutcome,
} from "./manager/agent-control.ts";
export { type AskOptions, ask } from "./manager/ask.ts";
export { type HomeOptions, type OpenedHome, openHome } from "./manager/home.ts";
export type {
  InstructionsSource,
  Limits,
  LogicSource,
  ModelSource,
  Residency,
  RestartStrategy,
  Supervision,
  ThreadManagerOptions,
} from "./manager/options.ts";
export type {
  ForkSource,
  Outcome,
  Replies,
  SupervisorMessage,
  SupervisorRef,
} from "./manager/service.ts";
export type { ShutdownReport } from "./manager/shutdown.ts";
export type { AgentFacts, ThreadOptions } from "./manager/thread-maker.ts";
export { type Capacity, ThreadManager } from "./manager/thread-manager.ts";
export { type AiSdkClientOptions, type AiSdkModel, aiSdkClient } from "./model/ai-sdk.ts";
export { type ChatClient, type ChatClientOptions, chatClient } from "./model/chat-client.ts";
export type { ModelClient, ModelEvent, ModelRequest, ToolNamespace, ToolSpec } from "./model/model-client.ts";
export type { ModelPreset } from "./model/model-preset.ts";
export { type ResponsesClient, type ResponsesClientOptions, responsesClient } from "./model/responses-client.ts";
export {
  call,
  cut,
  fail,
  hang,
  type Play,
  raw,
  type Script,
  type Step,
  say,
  think,
  usage,
  wait,
} from "./model/script.ts";
export { type ScriptedClient, type ScriptedClientOptions, scriptedClient } from "./model/scripted-client.ts";
export type { AgentRule, AgentStatus } from "./protocol/agent-status.ts";
export type { BuiltInToolName } from "./protocol/built-in-tool-names.ts";
export {
  DeadlineExceededError,
  DuplicateThreadError,
  ERROR_REGISTRY,
  type ErrorCode,
  type ErrorJson,
  InternalDefect,
  InvalidForkPointError,
  InvalidRequestError,
  type LeaseOwner,
  type LimitName,
  LimitReachedError,
  ManagerClosedError,
  NoActiveTurnError,
  OverloadedError,
  RolloutCorruptError,
  RolloutNotFoundError,
  SandboxUnavailableError,
  SessionConfiguredNotFirstEventError,
  SkeinError,
  StoreIoError,
  ThreadBusyError,
  ThreadClosedError,
  ThreadNotFoundError,
} from "./protocol/errors.ts";
export type { Event, EventKind, EventMsg, SessionConfiguredEvent, ThreadEvent } from "./protocol/event.ts";
export { parseEventMsg } from "./protocol/event-schemas.ts";
export {
  newThreadId,
  parseThreadId,
  type SubmissionId,
  submissionId,
  type ThreadId,
  type TurnId,
} from "./protocol/ids.ts";
export type { ForkAnchor } from "./protocol/initial-history.ts";
export { type InitialHistory, parseInitialHistory } from "./protocol/initial-history.ts";
export type { McpServerConfig, McpServers } from "./protocol/mcp-servers.ts";
export { type CodexErrorInfo, ModelError, type ModelErrorOptions } from "./protocol/model-error.ts";
export { type Op, parseOp } from "./protocol/op.ts";
export type { PermissionProfile } from "./protocol/permission-profile.ts";
export type { AskForApproval, ReviewDecision, SandboxMode, SandboxPolicy } from "./protocol/policy.ts";
export {
  assistantMessage,
  type ContentItem,
  developerMessage,
  functionCallOutput,
  type ResponseItem,
  userMessage,
} from "./protocol/response-item.ts";
export { parseRolloutLine, type RolloutItem, type RolloutLine, type SessionMeta } from "./protocol/rollout.ts";
export type { SessionSource } from "./protocol/session-source.ts";
export { parseThreadConfig, type ResolvedThreadConfig, type ThreadConfig } from "./protocol/thread-config.ts";
export type { RateLimitSnapshot, TokenUsage, TokenUsageInfo } from "./protocol/token-usage.ts";
export { truncateBeforeNth } from "./protocol/truncation.ts";
export type { TurnItem } from "./protocol/turn-item.ts";
export { isUserBoundary } from "./protocol/user-boundary.ts";
export type { UserInput } from "./protocol/user-input.ts";
export { type AuthManager, fileAuthManager, memoryAuthManager } from "./services/auth-manager.ts";
export { type ConfigOverride, parseOverride } from "./services/config-overrides.ts";
export { createModelsManager, type ModelsManager } from "./services/models-manager.ts";
export { type ProjectInstructionsOptions, projectInstructions } from "./services/project-instructions.ts";
export { createSkillsManager, type SkillsManager } from "./services/skills-manager.ts";
export { type FileStore, type FileStoreOptions, fileStore } from "./store/file/file-store.ts";
export { memoryStore } from "./store/memory/memory-store.ts";
export type {
  ForkBase,
  LoadRange,
  OpenOptions,
  Position,
  StoredThread,
  ThreadGit,
  ThreadLocator,
  ThreadPage,
  ThreadQuery,
  ThreadStore,
  ThreadWriter,
  TurnPlace,
} from "./store/thread-store.ts";
export type { ThreadApproval } from "./thread/approval-board.ts";
export {
  type DefinedThreadLogic,
  defineThreadLogic,
  type LogicTurn,
  type OpContext,
  type ThreadLogicDefinition,
} from "./thread/define-thread-logic.ts";
export type { Activity, EndReason, LifeEnd } from "./thread/incarnation.ts";
export type { LogicThread, ModelAnswer, ModelQuestion } from "./thread/logic-thread.ts";
export type { OwnLogicInput } from "./thread/own-logic.ts";
export type { SubmissionOutcome } from "./thread/submission-ledger.ts";
export type {
  ActiveTurn,
  Durability,
  EventPlace,
  EventsOptions,
  InterruptOptions,
  NamedSubmission,
  NewThread,
  RunOptions,
  ShutdownOutcome,
  SubmitOptions as ThreadSubmitOptions,
  Thread,
  TurnResult,
  WaitOptions,
} from "./thread/thread.ts";
export type { PendingApproval } from "./turn/approvals.ts";
export type { ReviewTarget } from "./turn/review/target.ts";
export type { JsonSchema, StandardSchema } from "./turn/standard-schema.ts";
export { type Tool, type ToolContext, type ToolOptions, tool } from "./turn/tool.ts";
export type { BackgroundTerminals, TerminalView } from "./turn/tools/exec/terminals.ts";
export { VERSION } from "./version.ts";
