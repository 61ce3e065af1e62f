/** What there is to choose from: models, profiles; and lists that Skein has nothing in, which clients ask for all the same. */
import * as z from "zod";
import type { ModelPreset } from "../../model/model-preset.ts";
import { PERMISSION_PROFILES } from "../../protocol/permission-profile.ts";
import { isTable } from "../../services/config-table.ts";
import { type MethodTable, method } from "../method.ts";
import { loose, optionalCount, optionalFlag, optionalText, optionalTexts } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { remoteControlOff } from "./initialize.ts";
import { pageOf } from "./offset-page.ts";
import { passedOver } from "./passed-over.ts";
import { knownThread } from "./thread-source.ts";

const modelsSchema = z.object({
  modelProvider: optionalText,
  cursor: optionalText,
  limit: optionalCount,
  includeHidden: optionalFlag,
});
const profilesSchema = z.object({ cursor: optionalText, limit: optionalCount, cwd: optionalText });
const hooksSchema = z.object({ cwds: optionalTexts, threadId: optionalText });
const appsSchema = z.object({ ...passedOver.apps, threadId: optionalText });
const installedSchema = z.object({ forceRefresh: optionalFlag, threadId: optionalText });
const anySchema = z.object({});
const featuresSchema = z.object({ cursor: optionalText, limit: optionalCount, threadId: optionalText });

export const catalogMethods = (server: ServerContext): MethodTable => ({
  "model/list": method({ params: modelsSchema, handle: (params) => listModels(server, params) }),
  "hooks/list": method({
    params: hooksSchema,
    handle: async ({ cwds, threadId }) => {
      if (threadId != null) await knownThread(server, threadId);
      const asked = cwds == null || cwds.length === 0 ? [server.cwd] : cwds;
      return { data: asked.map((cwd) => ({ cwd, hooks: [], warnings: [], errors: [] })) };
    },
  }),
  "collaborationMode/list": method({
    params: anySchema,
    experimental: true,
    handle: () => ({
      data: [
        { name: "Plan", mode: "plan", model: null, reasoning_effort: "medium" },
        { name: "Default", mode: "default", model: null, reasoning_effort: null },
      ],
    }),
  }),
  "permissionProfile/list": method({ params: profilesSchema, handle: (params) => listProfiles(server, params) }),
  "plugin/installed": method({
    params: z.object(passedOver.installed),
    handle: () => ({ marketplaces: [], marketplaceLoadErrors: [] }),
  }),
  "plugin/list": method({
    params: loose(z.object(passedOver.plugins)),
    handle: () => ({ marketplaces: [], marketplaceLoadErrors: [], featuredPluginIds: [] }),
  }),
  "app/list": method({
    params: loose(appsSchema),
    handle: async ({ threadId }) => {
      if (threadId != null) await knownThread(server, threadId);
      return { data: [], nextCursor: null };
    },
  }),
  "app/installed": method({
    params: loose(installedSchema),
    handle: async ({ threadId }) => {
      if (threadId != null) await knownThread(server, threadId);
      return { apps: [] };
    },
  }),
  "memory/status": method({
    params: z.object({ minConsolidatedThreads: optionalCount }),
    handle: () => ({ v2ConsolidatedThreads: 0, v2Ready: true }),
  }),
  "remoteControl/status/read": method({ params: anySchema, handle: () => remoteControlOff(server) }),
  "feedback/upload": method({
    params: loose(z.object(passedOver.feedback)),
    handle: () => {
      throw invalidRequest("sending feedback is disabled by configuration");
    },
  }),
  "externalAgentConfig/detect": method({
    params: loose(z.object(passedOver.detect)),
    handle: () => ({ items: [], connectors: [] }),
  }),
  "experimentalFeature/list": method({ params: featuresSchema, handle: (params) => listFeatures(server, params) }),
  "experimentalFeature/enablement/set": method({
    params: z.object({ enablement: z.record(z.string(), z.boolean()) }),
    handle: () => ({ enablement: {} }),
  }),
});

/** What Skein can switch on and off, under the names that config.toml has for it. */
const FEATURES: readonly (readonly [name: string, byDefault: boolean])[] = [
  ["multi_agent", true],
  ["collab", false],
];

/** As config.toml has them; those that it names and Skein does not know are listed as removed. */
async function listFeatures(server: ServerContext, params: z.infer<typeof featuresSchema>) {
  if (params.threadId != null) await knownThread(server, params.threadId);
  const { features } = await server.configs.load();
  const known = new Set(FEATURES.map(([name]) => name));
  const named = Object.keys(features).filter((name) => !known.has(name));
  const shown = { displayName: null, description: null, announcement: null };
  const data = [
    ...FEATURES.map(([name, defaultEnabled]) => ({
      ...{ name, stage: "stable", ...shown, enabled: features[name] ?? defaultEnabled, defaultEnabled },
    })),
    ...named.map((name) => ({ name, stage: "removed", ...shown, enabled: false, defaultEnabled: false })),
  ];
  return pageOf(data, params, "feature flags");
}

async function listModels({ manager, configs }: ServerContext, params: z.infer<typeof modelsSchema>) {
  if (
    params.modelProvider != null &&
    params.modelProvider !== manager.config.modelProvider &&
    !(await configs.load()).providers.has(params.modelProvider)
  ) {
    throw invalidRequest(
      `This chat uses model provider “${params.modelProvider}”, which is no longer configured. Restore this provider’s configuration to continue.`,
    );
  }
  const models = await manager.modelsManager.listModels({
    provider: params.modelProvider ?? manager.config.modelProvider,
    authMethod: manager.authManager.status().authMethod,
    includeHidden: params.includeHidden ?? false,
  });
  const { data, nextCursor } = pageOf(models, params, "models");
  return { data: data.map(modelToV2), nextCursor };
}

/** The built-in profiles, and the user's own, which only stock Codex can put into effect. */
async function listProfiles({ configs }: ServerContext, params: z.infer<typeof profilesSchema>) {
  const own = await configs.ownProfiles(params.cwd == null ? {} : { cwd: params.cwd });
  const profiles = [
    ...PERMISSION_PROFILES.map((id) => ({ id, description: null, allowed: true })),
    ...Object.entries(own).map(([id, profile]) => ({ id, description: descriptionOf(profile), allowed: false })),
  ];
  return pageOf(profiles, params, "permission profiles");
}

const descriptionOf = (profile: unknown): string | null =>
  isTable(profile) && typeof profile.description === "string" ? profile.description : null;

const modelToV2 = (preset: ModelPreset) => ({
  id: preset.id,
  model: preset.model,
  upgrade: null,
  upgradeInfo: null,
  availabilityNux: null,
  displayName: preset.displayName,
  description: preset.description,
  modelSpecialty: null,
  hidden: preset.hidden ?? false,
  supportedReasoningEfforts: preset.supportedReasoningEfforts.map(({ effort, description }) => ({
    reasoningEffort: effort,
    description,
  })),
  defaultReasoningEffort: preset.defaultReasoningEffort,
  inputModalities: ["text", "image"],
  supportsPersonality: false,
  multiAgentVersion: null,
  additionalSpeedTiers: preset.serviceTiers?.some(({ id }) => id === "priority") ? ["fast"] : [],
  serviceTiers: preset.serviceTiers ?? [],
  defaultServiceTier: null,
  availableAccessPrograms: null,
  isDefault: preset.isDefault,
});
