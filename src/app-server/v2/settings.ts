/** Settings between the core's words and those of v2. */
import * as z from "zod";
import type { ModelError } from "../../protocol/model-error.ts";
import { type SandboxPolicy, sandboxModeSchema } from "../../protocol/policy.ts";
import type { ResolvedThreadConfig } from "../../protocol/thread-config.ts";
import type { V2SandboxPolicy, V2Session, V2TurnError } from "./wire-types.ts";

export function sandboxToV2(policy: SandboxPolicy): V2SandboxPolicy {
  switch (policy.type) {
    case "danger-full-access":
      return { type: "dangerFullAccess" };
    case "read-only":
      return { type: "readOnly", networkAccess: false };
    case "external-sandbox":
      return { type: "externalSandbox", networkAccess: policy.network_access };
    case "workspace-write":
      return {
        type: "workspaceWrite",
        writableRoots: policy.writable_roots,
        networkAccess: policy.network_access,
        excludeTmpdirEnvVar: policy.exclude_tmpdir_env_var,
        excludeSlashTmp: policy.exclude_slash_tmp,
      };
  }
}

const flag = z.boolean().nullish();
export const v2SandboxPolicySchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("dangerFullAccess") }),
  z.object({ type: z.literal("readOnly"), networkAccess: flag }),
  z.object({ type: z.literal("externalSandbox"), networkAccess: z.enum(["restricted", "enabled"]).nullish() }),
  z.object({
    type: z.literal("workspaceWrite"),
    writableRoots: z.array(z.string()).nullish(),
    networkAccess: flag,
    excludeTmpdirEnvVar: flag,
    excludeSlashTmp: flag,
  }),
]);

export function sandboxFromV2(policy: z.infer<typeof v2SandboxPolicySchema>): SandboxPolicy {
  switch (policy.type) {
    case "dangerFullAccess":
      return { type: "danger-full-access" };
    case "readOnly":
      return { type: "read-only" };
    case "externalSandbox":
      return { type: "external-sandbox", network_access: policy.networkAccess ?? "restricted" };
    case "workspaceWrite":
      return {
        type: "workspace-write",
        writable_roots: policy.writableRoots ?? [],
        network_access: policy.networkAccess ?? false,
        exclude_tmpdir_env_var: policy.excludeTmpdirEnvVar ?? false,
        exclude_slash_tmp: policy.excludeSlashTmp ?? false,
      };
  }
}

export { sandboxModeSchema };

export const sessionOf = (config: ResolvedThreadConfig): V2Session => ({
  model: config.model,
  modelProvider: config.modelProvider,
  serviceTier: config.serviceTier,
  disabledPluginIds: [],
  cwd: config.cwd,
  runtimeWorkspaceRoots: [config.cwd],
  instructionSources: [],
  approvalPolicy: config.approvalPolicy,
  approvalsReviewer: "user",
  sandbox: sandboxToV2(config.sandboxPolicy),
  activePermissionProfile: config.permissionProfile === null ? null : { id: config.permissionProfile, extends: null },
  reasoningEffort: config.reasoningEffort,
  multiAgentMode: "explicitRequestOnly",
});

/** `http_connection_failed` with its status becomes `httpConnectionFailed` with `httpStatusCode`, and so on. */
function errorInfoToV2(info: ModelError["info"] | null | undefined): unknown {
  if (info === null || info === undefined) return null;
  if (info === "lease_lost" || info === "store_failed" || info === "turn_given_up") return "other";
  if (typeof info === "string") return camel(info);
  const [[name, detail] = ["other", {}]] = Object.entries(info);
  return {
    [camel(name)]: { httpStatusCode: (detail as { http_status_code?: number | null }).http_status_code ?? null },
  };
}

export const turnErrorOf = (
  message: string,
  info: ModelError["info"] | null | undefined,
  additionalDetails: string | null = null,
): V2TurnError => ({ message, codexErrorInfo: errorInfoToV2(info), additionalDetails, misalignment: null });

export const camel = (snake: string): string => snake.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
