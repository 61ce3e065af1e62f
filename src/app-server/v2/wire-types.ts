/** The shapes that 0.169 shows its clients. Every optional field is there, as null or empty (strict clients drop less). */
import type { AskForApproval } from "../../protocol/policy.ts";
import type { Section } from "../memos/sections.ts";

export type V2Status =
  | { type: "notLoaded" }
  | { type: "idle" }
  | { type: "systemError" }
  | { type: "active"; activeFlags: ("waitingOnApproval" | "waitingOnUserInput")[] };

export type V2TurnError = {
  message: string;
  codexErrorInfo: unknown;
  additionalDetails: string | null;
  misalignment: null;
};

/** Tagged by `type`; the times are Unix milliseconds. */
export type V2Item = {
  type: string;
  id: string;
  startedAtMs: number | null;
  completedAtMs: number | null;
  [field: string]: unknown;
};

export type ItemsView = "notLoaded" | "summary" | "full";

/** `startedAt` and `completedAt` are Unix seconds. */
export type V2Turn = {
  id: string;
  rootTurnId: string | null;
  items: V2Item[];
  itemsView: ItemsView;
  status: "completed" | "interrupted" | "failed" | "inProgress";
  error: V2TurnError | null;
  startedAt: number | null;
  completedAt: number | null;
  durationMs: number | null;
};

export type V2SandboxPolicy =
  | { type: "dangerFullAccess" }
  | { type: "readOnly"; networkAccess: boolean }
  | { type: "externalSandbox"; networkAccess: "restricted" | "enabled" }
  | {
      type: "workspaceWrite";
      writableRoots: string[];
      networkAccess: boolean;
      excludeTmpdirEnvVar: boolean;
      excludeSlashTmp: boolean;
    };

/** Times are Unix seconds. */
export type V2Thread = {
  id: string;
  environments: { environmentId: string; cwd: string; runtimeWorkspaceRoots: string[] }[] | null;
  extra: null;
  sessionId: string;
  forkedFromId: string | null;
  attachedToThreadId: null;
  parentThreadId: string | null;
  preview: string;
  ephemeral: boolean;
  section: Section | null;
  sectionEnteredAt: number | null;
  projectId: null;
  historyMode: "paginated" | "legacy";
  modelProvider: string;
  model: string | null;
  reasoningEffort: string | null;
  createdAt: number;
  updatedAt: number;
  recencyAt: number | null;
  status: V2Status;
  path: string | null;
  cwd: string;
  cliVersion: string;
  originator: string | null;
  source: unknown;
  canAcceptDirectInput: boolean | null;
  threadSource: string | null;
  agentNickname: string | null;
  agentRole: string | null;
  gitInfo: { sha: string | null; branch: string | null; originUrl: string | null } | null;
  name: string | null;
  daybreakEnabled: null;
  turns: V2Turn[];
};

/** What start, resume and fork answer beside the thread. */
export type V2Session = {
  model: string;
  modelProvider: string;
  serviceTier: string | null;
  disabledPluginIds: string[];
  cwd: string;
  runtimeWorkspaceRoots: string[];
  instructionSources: string[];
  approvalPolicy: AskForApproval;
  approvalsReviewer: "user";
  sandbox: V2SandboxPolicy;
  activePermissionProfile: { id: string; extends: string | null } | null;
  reasoningEffort: string | null;
  multiAgentMode: "explicitRequestOnly";
};

/** A notification without its time. */
export type Told = { readonly method: string; readonly params: Record<string, unknown> };
