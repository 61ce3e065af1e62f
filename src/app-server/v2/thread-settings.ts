/** A loaded thread's settings: thread/settings/update, and what turn/start gives of them. They stay. */
import { resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import { askForApprovalSchema, reasoningSummarySchema } from "../../protocol/policy.ts";
import type { ResolvedThreadConfig } from "../../protocol/thread-config.ts";
import { instructionsOf } from "../../turn/collaboration-mode.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { loose, optionalText, text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServedThread } from "../served-threads.ts";
import type { ServerContext } from "../server-context.ts";
import { type TurnSettings, threadOf } from "../thread-ops.ts";
import { SETTINGS_FAILURE } from "./overrides.ts";
import { passedOver } from "./passed-over.ts";
import { sandboxFromV2, sandboxToV2, v2SandboxPolicySchema } from "./settings.ts";
import { readThreadId } from "./thread-source.ts";

const effort = text.refine((given) => given !== "", "reasoning_effort must not be empty").nullish();

export const settingsFields = {
  ...passedOver.settings,
  cwd: optionalText,
  approvalPolicy: askForApprovalSchema.nullish(),
  sandboxPolicy: v2SandboxPolicySchema.nullish(),
  permissions: optionalText,
  model: optionalText,
  effort,
  summary: reasoningSummarySchema.nullish(),
  serviceTier: optionalText,
  collaborationMode: z
    .object({
      mode: z.enum(["plan", "code", "custom", "default", "execute", "pair_programming"]),
      settings: z.object({ model: text, reasoning_effort: effort, developer_instructions: optionalText }),
    })
    .nullish(),
};
const settingsSchema = z.object(settingsFields);
/** Stock Codex refuses fields that it does not name, so that nobody takes them for applied. */
const turnSchema = z.strictObject({
  threadId: text,
  turnId: text,
  approvalsReviewer: passedOver.settings.approvalsReviewer,
  environments: passedOver.settings.environments,
  model: optionalText,
  effort,
  summary: reasoningSummarySchema.nullish(),
  serviceTier: optionalText,
});
export type GivenSettings = z.infer<typeof settingsSchema>;

export const threadSettingsMethods = (server: ServerContext): MethodTable => ({
  "thread/settings/update": method({
    params: loose(settingsSchema.extend({ threadId: text })),
    experimental: true,
    handle: async (params, call) => {
      const thread = await threadOf(server, readThreadId(params.threadId), call.signal);
      call.finally(server.hub.feedOf(thread.id).hold(call.connection));
      await changeSettings(server, thread, params, call);
      return {};
    },
  }),
  "turn/settings/update": method({
    params: turnSchema,
    experimental: true,
    handle: async ({ threadId, turnId, approvalsReviewer, environments }, { signal }) => {
      const thread = await threadOf(server, readThreadId(threadId), signal);
      // A turn runs to its end with the settings that it began with, as in stock Codex unless that feature is on.
      if (approvalsReviewer !== "user" || environments != null) throw invalidRequest(NOT_SWITCHED);
      return { status: thread.activeTurn?.turnId === turnId ? "applied" : "targetUnavailable" };
    },
  }),
});

const NOT_SWITCHED = "turn settings updates require the step_model_switching feature";

/** Puts settings into effect from the next turn on, and tells of it if anything has changed. @throws RpcError */
export async function changeSettings(
  server: ServerContext,
  thread: ServedThread,
  given: GivenSettings,
  { signal }: Call,
): Promise<void> {
  const settings = await settingsOf(server, given);
  if (Object.keys(settings).length === 0) return;
  const before = shownSettings(thread.config);
  await thread.submit({ type: "override_turn_context", ...settings }, { signal });
  const threadSettings = shownSettings(thread.config);
  if (isDeepStrictEqual(before, threadSettings)) return;
  const params = { threadId: thread.id, threadSettings };
  server.hub.feedOf(thread.id).tell({ method: "thread/settings/updated", params });
}

async function settingsOf({ configs, cwd: home }: ServerContext, given: GivenSettings): Promise<TurnSettings> {
  const { cwd, approvalPolicy, sandboxPolicy, permissions, summary, collaborationMode } = given;
  if (permissions != null && sandboxPolicy != null) {
    throw invalidRequest("`permissions` cannot be combined with `sandboxPolicy`");
  }
  const { model, effort } = given;
  return {
    ...(cwd == null ? {} : { cwd: resolve(home, cwd) }),
    ...(approvalPolicy == null ? {} : { approval_policy: approvalPolicy }),
    ...(sandboxPolicy == null ? {} : { sandbox_policy: sandboxFromV2(sandboxPolicy) }),
    ...(permissions == null ? {} : { permission_profile: await configs.profileNamed(permissions, SETTINGS_FAILURE) }),
    ...(model == null ? {} : { model }),
    ...(effort == null ? {} : { effort }),
    ...(summary == null ? {} : { summary }),
    ...(collaborationMode == null ? {} : { collaboration_mode: collaborationMode }),
    ...(given.serviceTier === undefined ? {} : { service_tier: given.serviceTier === "" ? null : given.serviceTier }),
  };
}

const shownSettings = (config: ResolvedThreadConfig) => ({
  disabledPluginIds: [],
  cwd: config.cwd,
  environments: [{ environmentId: "local", cwd: config.cwd, runtimeWorkspaceRoots: [config.cwd] }],
  approvalPolicy: config.approvalPolicy,
  approvalsReviewer: "user",
  sandboxPolicy: sandboxToV2(config.sandboxPolicy),
  activePermissionProfile: config.permissionProfile === null ? null : { id: config.permissionProfile, extends: null },
  model: config.model,
  modelProvider: config.modelProvider,
  serviceTier: config.serviceTier,
  effort: config.reasoningEffort,
  summary: config.reasoningSummary,
  collaborationMode: collaborationModeOf(config),
  multiAgentMode: "explicitRequestOnly",
  personality: null,
});

type Mode = Pick<ResolvedThreadConfig, "model" | "reasoningEffort" | "collaborationMode">;

/** With what the model is told of it, where a mode was chosen. */
export const collaborationModeOf = ({ model, reasoningEffort, collaborationMode: chosen }: Mode) => ({
  mode: chosen?.mode ?? "default",
  settings: {
    model,
    reasoning_effort: reasoningEffort,
    developer_instructions: chosen === null ? null : instructionsOf(chosen),
  },
});
