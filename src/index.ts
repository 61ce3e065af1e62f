import "./node-version.ts";

export type { Outcome } from "../machines/supervisor.machine.ts";
export type { ThreadCommand, ThreadEmitted, ThreadInput } from "../machines/thread.machine.ts";
export type { Clock } from "./kernel/clock.ts";
export type { SkeinLogger, WarningLog } from "./kernel/log.ts";
export type { TracedWork } from "./kernel/traced-work.ts";
export {
  AgentControl,
  type AgentOptions,
  type AgentPrompt,
  type SubmitOptions,
  type WaitForOptions,
  type WaitOutcome,
} from "./manager/agent-control.ts";
export type { AgentInfo, AgentNode } from "./manager/agent-node.ts";
export {
  type AskAnswer,
  type Askable,
  type AskMessage,
  type AskOptions,
  ask,
  type OnlyFieldsOf,
} from "./manager/ask.ts";
export type { Capacity, Share, ThreadCapacity } from "./manager/capacity.ts";
export type { DeadLetter, LetterContent } from "./manager/dead-letters.ts";
export type { FailureMode, FanOutOptions, Task, TaskContext } from "./manager/fan-out.ts";
export type { Backoff, GroupOptions, GroupRule, RestartRule } from "./manager/group-options.ts";
export { type HomeOptions, type OpenedHome, openHome } from "./manager/home.ts";
export type { Letter, SetAsideMessage, ThreadMail } from "./manager/letter.ts";
export {
  type Inspector,
  type InstructionsSource,
  type Limits,
  type LogicSource,
  type ModelSource,
  RESTART_STRATEGIES,
  type Residency,
  type RestartStrategy,
  type Supervision,
  type ThreadManagerOptions,
} from "./manager/options.ts";
export type { RecoveredThread, RecoverOptions, RecoverProgress, RecoverReport } from "./manager/recovery.ts";
export type { RestartStanding } from "./manager/restart-standing.ts";
export type { ShutdownReport } from "./manager/shutdown-report.ts";
export type { GatherOptions, Inputs, MapOptions, PromptOptions, ResultOf } from "./manager/side-by-side.ts";
export type { SpawnTrace } from "./manager/spawn-trace.ts";
export type {
  ForkSource,
  Replies,
  SupervisorMessage,
  SupervisorRef,
  SupervisorRequest,
} from "./manager/supervisor-messages.ts";
export type { ThreadEnd } from "./manager/thread-end.ts";
export type { Escalation, GroupStatus, MemberInfo, MemberOptions, ThreadGroup } from "./manager/thread-group.ts";
export { ThreadManager } from "./manager/thread-manager.ts";
export type { AgentFacts, ThreadOptions } from "./manager/thread-options.ts";
export type { Threads } from "./manager/threads-face.ts";
export type { Contender, Entry, ForkPoint, TournamentOptions, TournamentResult } from "./manager/tournament.ts";
export { type AiSdkClientOptions, type AiSdkModel, aiSdkClient } from "./model/ai-sdk.ts";
export type { AiSdkCallOptions } from "./model/ai-sdk-prompt.ts";
export { type ChatClient, type ChatClientOptions, chatClient } from "./model/chat-client.ts";
export type { ApiKey, EndpointOptions } from "./model/endpoint-options.ts";
export type { ModelClient, ModelEvent, ModelRequest, ToolNamespace } from "./model/model-client.ts";
export type { ModelPreset, ServiceTier } from "./model/model-preset.ts";
export {
  type ModelsAnswer,
  type ResponsesClient,
  type ResponsesClientOptions,
  responsesClient,
} from "./model/responses-client.ts";
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
  type WaitFor,
  wait,
} from "./model/script.ts";
export { type ScriptedClient, type ScriptedClientOptions, scriptedClient } from "./model/scripted-client.ts";
export type { AgentRule, AgentStatus } from "./protocol/agent-status.ts";
export {
  BUDGET_KINDS,
  type Budget,
  type BudgetAmounts,
  type BudgetKind,
  type BudgetScope,
  type BudgetState,
  type BudgetUse,
  type OverBudget,
  type Price,
} from "./protocol/budget.ts";
export { BUILT_IN_TOOL_NAMES, type BuiltInToolName } from "./protocol/built-in-tool-names.ts";
export type {
  CollaborationMode,
  CollaborationModeName,
  GivenCollaborationMode,
} from "./protocol/collaboration-mode.ts";
export type { Elicitation, FormContent } from "./protocol/elicitation.ts";
export {
  ApprovalDeniedError,
  BudgetExceededError,
  ClusterMismatchError,
  ClusterUnavailableError,
  DeadlineExceededError,
  DuplicateThreadError,
  ERROR_REGISTRY,
  type ErrorCode,
  type ErrorJson,
  FanOutError,
  InternalDefect,
  InvalidForkPointError,
  InvalidRequestError,
  type LeaseOwner,
  type LimitFacts,
  type LimitName,
  LimitReachedError,
  ManagerClosedError,
  type MessageRefusal,
  MessageRefusedError,
  NoActiveTurnError,
  OverloadedError,
  RequestFailedError,
  type RequestFailure,
  RolloutCorruptError,
  RolloutNotFoundError,
  SandboxUnavailableError,
  SessionConfiguredNotFirstEventError,
  SkeinError,
  StepFailedError,
  StoreIoError,
  type TaskOutcome,
  ThreadBusyError,
  ThreadClosedError,
  ThreadNotFoundError,
  TurnFailedError,
  TurnGivenUpError,
} from "./protocol/errors.ts";
export type {
  AgentMessageEvent,
  AnswerFields,
  BudgetExceededEvent,
  BudgetWarningEvent,
  ContentEventMsg,
  ErrorEvent,
  Event,
  EventKind,
  EventMsg,
  ItemCompletedEvent,
  ItemDelta,
  ItemPlace,
  ItemStartedEvent,
  KnownEventMsg,
  LaggedEvent,
  SessionConfiguredEvent,
  SessionEventMsg,
  StreamErrorEvent,
  TaskCompleteEvent,
  TaskStartedEvent,
  ThreadEvent,
  ThreadRolledBackEvent,
  ThreadSettingsAppliedEvent,
  TimerFiredEvent,
  TokenCountEvent,
  TurnAbortedEvent,
  TurnEndStamp,
  TurnEventMsg,
  TurnResumedEvent,
  TurnStamp,
  UnknownEventMsg,
  UserMessageEvent,
} from "./protocol/event.ts";
export { parseEventMsg } from "./protocol/event-schemas.ts";
export type { ApprovalQuestion, Tool, ToolAnswer, ToolContext, ToolSpec } from "./protocol/function-tool.ts";
export {
  type Branded,
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
export {
  type Address,
  addressOf,
  type Exchange,
  type GivenFor,
  type MessageOf,
  type MessageSchemaOf,
  type MessageSchemas,
  type MessageTo,
  type ReceivedOf,
  type Recipient,
  type ReplyFrom,
  type ReplyOf,
  type RequestOf,
  type RequestTo,
  type RequestTypes,
  type SchemaInput,
  type SchemaOutput,
  type SchemaTypes,
  type ThreadMessage,
} from "./protocol/message.ts";
export { type CodexErrorInfo, ModelError, type ModelErrorOptions } from "./protocol/model-error.ts";
export {
  type ExecApprovalOp,
  type InjectItemsOp,
  type InterruptOp,
  type KnownOp,
  type ListSkillsOp,
  type Op,
  type OverrideTurnContextOp,
  type PatchApprovalOp,
  parseOp,
  type RefreshMcpServersOp,
  type ResolveElicitationOp,
  type ReviewOp,
  type ThreadMessageOp,
  type ThreadRollbackOp,
  type UnknownOp,
  type UserInputAnswerOp,
  type UserInputOp,
  type UserTurnOp,
} from "./protocol/op.ts";
export { PERMISSION_PROFILES, type PermissionProfile } from "./protocol/permission-profile.ts";
export type {
  AskForApproval,
  GranularApproval,
  ModelVerbosity,
  NetworkAccess,
  PlainApproval,
  ReasoningEffort,
  ReasoningSummary,
  ReviewDecision,
  SandboxMode,
  SandboxPolicy,
} from "./protocol/policy.ts";
export {
  assistantMessage,
  type CompactionItem,
  type ContentItem,
  type CustomToolCallItem,
  type CustomToolCallOutputItem,
  developerMessage,
  type FunctionCallItem,
  type FunctionCallOutputItem,
  functionCallOutput,
  type GhostSnapshotItem,
  type LocalShellCallItem,
  type MessageFacts,
  type MessageItem,
  type MessageRole,
  type NamedOutputItem,
  type ReasoningItem,
  type ResponseItem,
  type ToolSearchCallItem,
  type ToolSearchOutputItem,
  userMessage,
  type WebSearchCallItem,
} from "./protocol/response-item.ts";
export {
  type BaseInstructions,
  type CompactedItem,
  type GitInfo,
  type HistoryBase,
  type HistoryMode,
  parseRolloutLine,
  type RolloutItem,
  type RolloutLine,
  type SessionMeta,
  type SubmissionItem,
  type TaskItem,
  type TurnContextItem,
} from "./protocol/rollout.ts";
export type { FiredTimer, ScheduledTimer, ScheduleOptions, When } from "./protocol/schedule.ts";
export type { SessionSource, SubAgentSource, ThreadSpawnSource } from "./protocol/session-source.ts";
export type { ShellEnvironmentPolicy } from "./protocol/shell-environment.ts";
export type { JsonSchema, StandardResult, StandardSchema } from "./protocol/standard-schema.ts";
export {
  type Priority,
  parseThreadConfig,
  type Recovery,
  type ResolvedThreadConfig,
  type ThreadConfig,
} from "./protocol/thread-config.ts";
export type {
  CreditsSnapshot,
  RateLimitSnapshot,
  RateLimitWindow,
  TokenUsage,
  TokenUsageInfo,
} from "./protocol/token-usage.ts";
export type {
  ApplyPatchApprovalRequestEvent,
  CollabCall,
  CollabCallToReceiver,
  CollabEventMsg,
  ElicitationRequestEvent,
  ExecApprovalRequestEvent,
  ExecCommandBeginEvent,
  ExecCommandEndEvent,
  ExecCommandFields,
  McpStartupStatus,
  PlanStep,
  RequestUserInputEvent,
  ToolEventMsg,
} from "./protocol/tool-events.ts";
export { truncateBeforeNth } from "./protocol/truncation.ts";
export type {
  AgentMessageTurnItem,
  CollabAgentToolCallTurnItem,
  CommandExecutionTurnItem,
  ContextCompactionTurnItem,
  Duration,
  DynamicToolCallTurnItem,
  EnteredReviewModeTurnItem,
  ExitedReviewModeTurnItem,
  FileChange,
  FileChanges,
  FileChangeTurnItem,
  FunctionCallOutputTurnItem,
  ImageViewTurnItem,
  McpInvocation,
  McpToolCallTurnItem,
  ParsedCommand,
  PlanTurnItem,
  ReasoningTurnItem,
  ToolCallContent,
  TurnItem,
  TurnItemStatus,
  UserMessageTurnItem,
  WebSearchTurnItem,
} from "./protocol/turn-item.ts";
export type { UnknownKind, UnknownTagged } from "./protocol/unknown-kind.ts";
export { type BoundaryRule, isUserBoundary } from "./protocol/user-boundary.ts";
export type { TextElement, ToolOutputInput, UserInput } from "./protocol/user-input.ts";
export type { UserAnswers, UserQuestion } from "./protocol/user-question.ts";
export {
  type Account,
  type AuthManager,
  type AuthMethod,
  type AuthStatus,
  type FileAuthOptions,
  fileAuthManager,
  memoryAuthManager,
} from "./services/auth-manager.ts";
export type { ConfigFile, ConfigFileContents } from "./services/config-file.ts";
export type { ConfigLayerName, ConfigOrigin, LoadedConfig } from "./services/config-layers.ts";
export { type ConfigOverride, parseOverride } from "./services/config-overrides.ts";
export type { ConfigTable, KeyPath } from "./services/config-table.ts";
export type { FetchedModels, FetchModels } from "./services/model-fetch.ts";
export {
  createModelsManager,
  type ModelQuery,
  type ModelRefresh,
  type ModelsManager,
  type ModelsManagerOptions,
  type RemoteModels,
} from "./services/models-manager.ts";
export type { ProjectDoc, ProjectDocQuery, ProjectDocs } from "./services/project-docs.ts";
export {
  type DocSettings,
  type ProjectInstructionsOptions,
  projectInstructions,
} from "./services/project-instructions.ts";
export { type ProviderInfo, WIRE_APIS, type WireApi } from "./services/provider-info.ts";
export type { Skill, SkillError, SkillInterface, SkillScope, SkillsOutcome } from "./services/skill-file.ts";
export type { SkillKey, SkillRule } from "./services/skill-rules.ts";
export {
  createSkillsManager,
  type SkillInjection,
  type SkillsManager,
  type SkillsManagerOptions,
} from "./services/skills-manager.ts";
export {
  type FilePosition,
  type FileStore,
  type FileStoreOptions,
  fileStore,
  type RolloutWriter,
} from "./store/file/file-store.ts";
export type { FileInfo, FileSystem, OpenMode } from "./store/file/file-system.ts";
export type { FsyncPolicy, ScanProgress } from "./store/file/options.ts";
export { memoryStore } from "./store/memory/memory-store.ts";
export type {
  ExportOptions,
  ImageRead,
  MovableStore,
  StoredImage,
  StoredLine,
  ThreadImage,
} from "./store/movable-store.ts";
export type { RolloutFileOwner } from "./store/rollout-path.ts";
export type { ProblemKind, ProblemSink, RolloutProblem } from "./store/rollout-problem.ts";
export { NOTE_KINDS, type NoteKind, type StandingNotes } from "./store/standing-notes.ts";
export type {
  ForkBase,
  LoadRange,
  OpenOptions,
  OpenTurn,
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
export {
  type DefinedThreadLogic,
  defineThreadLogic,
  type LogicTurn,
  type MessageContext,
  type OpContext,
  type Receivers,
  type ThreadLogicDefinition,
} from "./thread/define-thread-logic.ts";
export type { Activity, EndReason, LifeEnd } from "./thread/life-end.ts";
export type { LogicThread, ModelAnswer, ModelQuestion, OpsOptions, StartTurnOptions } from "./thread/logic-thread.ts";
export type {
  Messenger,
  Published,
  PublishReport,
  ReceivedMessage,
  RequestOptions,
  SendOptions,
  Subscription,
  ThreadMessenger,
} from "./thread/messaging.ts";
export type { OutputSchema } from "./thread/output-schema.ts";
export type { OwnLogicInput, PersistentLogic } from "./thread/own-logic.ts";
export type { PersistOptions } from "./thread/saved-state.ts";
export type { StepContext, StepOptions, StepWork } from "./thread/steps.ts";
export type { LeaseTrace, StoreWriteTrace } from "./thread/store-traces.ts";
export type {
  ActiveTurn,
  Durability,
  EventPlace,
  EventsOptions,
  InterruptOptions,
  NamedSubmission,
  NewThread,
  RollbackOptions,
  RolledBackTurns,
  RunOptions,
  ShutdownOutcome,
  SubmissionOutcome,
  SubmitOptions as ThreadSubmitOptions,
  Thread,
  ThreadHandle,
  WaitOptions,
  WatchedThread,
  WhenFull,
} from "./thread/thread.ts";
export type { TurnResult } from "./thread/turn-result.ts";
export type { Down, DownReason, Link, LinkOptions, Monitor, MonitorOptions } from "./thread/watching.ts";
export type { PendingApproval, QuestionAnswered, ThreadApproval } from "./turn/pending-approval.ts";
export type { ReviewTarget } from "./turn/review/target.ts";
export type { BudgetChange } from "./turn/spending.ts";
export { type ApprovalNeed, type ToolApproval, type ToolOptions, tool } from "./turn/tool.ts";
export type { BackgroundTerminals, TerminalView } from "./turn/tools/exec/background-terminals.ts";
export type {
  ApprovalTrace,
  McpRequestNotice,
  ModelTrace,
  SlotTrace,
  SubmitNotice,
  ToolTrace,
  TurnTrace,
} from "./turn/traces.ts";
export { VERSION } from "./version.ts";
