/** getUserSavedConfig: what config.toml says, in v1's words. */
import * as z from "zod";
import { withoutSecrets } from "../../protocol/secrets.ts";
import { type ConfigTable, isTable } from "../../services/config-table.ts";
import { type MethodTable, method } from "../method.ts";
import type { ServerContext } from "../server-context.ts";

export const savedConfigMethods = ({ configs }: ServerContext): MethodTable => ({
  getUserSavedConfig: method({
    params: z.looseObject({}).optional(),
    handle: async () => ({ config: withoutSecrets(savedConfig((await configs.file?.read())?.table ?? {})) }),
  }),
});

const tableAt = (table: ConfigTable, key: string): ConfigTable | undefined => {
  const value = table[key];
  return isTable(value) ? value : undefined;
};

/** v1 has words alone. */
const plainPolicy = (policy: unknown): unknown => (isTable(policy) ? "on-request" : (policy ?? null));

function savedConfig(table: ConfigTable) {
  const tools = tableAt(table, "tools");
  return {
    approvalPolicy: plainPolicy(table.approval_policy),
    sandboxMode: table.sandbox_mode ?? null,
    sandboxSettings: sandboxSettings(tableAt(table, "sandbox_workspace_write")),
    forcedChatgptWorkspaceId: table.forced_chatgpt_workspace_id ?? null,
    forcedLoginMethod: table.forced_login_method ?? null,
    ...modelSettings(table),
    tools: tools === undefined ? null : { webSearch: tools.web_search ?? null, viewImage: tools.view_image ?? null },
    profile: table.profile ?? null,
    profiles: Object.fromEntries(
      Object.entries(tableAt(table, "profiles") ?? {}).flatMap(([name, profile]) =>
        isTable(profile) ? [[name, savedProfile(profile)]] : [],
      ),
    ),
  };
}

const modelSettings = (table: ConfigTable) => ({
  model: table.model ?? null,
  modelReasoningEffort: table.model_reasoning_effort ?? null,
  modelReasoningSummary: table.model_reasoning_summary ?? null,
  modelVerbosity: table.model_verbosity ?? null,
});

const savedProfile = (profile: ConfigTable) => ({
  ...modelSettings(profile),
  modelProvider: profile.model_provider ?? null,
  approvalPolicy: plainPolicy(profile.approval_policy),
  chatgptBaseUrl: profile.chatgpt_base_url ?? null,
});

const sandboxSettings = (table: ConfigTable | undefined) =>
  table === undefined
    ? null
    : {
        writableRoots: table.writable_roots ?? [],
        networkAccess: table.network_access ?? false,
        excludeTmpdirEnvVar: table.exclude_tmpdir_env_var ?? false,
        excludeSlashTmp: table.exclude_slash_tmp ?? false,
      };
