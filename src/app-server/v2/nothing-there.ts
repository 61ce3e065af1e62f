/**
 * Methods by which clients ask what there is of something that Skein has none of. Each answers as stock Codex does where nobody
 * has signed in and nothing is set up, so that a client which asks at its start goes on.
 */
import * as z from "zod";
import { type MethodTable, method } from "../method.ts";
import { loose, optionalCount, optionalFlag, optionalText, optionalTexts, sortDirection, text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { knownThread } from "./thread-source.ts";

const anySchema = z.object({});
const page = { cursor: optionalText, limit: optionalCount };
const recorded = {
  ...page,
  threadId: text,
  sessionId: optionalText,
  eventId: optionalText,
  order: z.enum(["observedAt", "position"]).nullish(),
  fromObservedAtMs: z.int().nullish(),
  toObservedAtMs: z.int().nullish(),
  afterPosition: optionalCount,
  snapshotEnd: optionalCount,
  requiredThroughPosition: optionalCount,
};
const NONE = { data: [], nextCursor: null };

const experimental = true;

export const nothingThereMethods = (server: ServerContext): MethodTable => ({
  ...accounts,
  ...plugins,
  ...places,
  "thread/memory/read": method({
    params: z.object({ threadId: text }),
    experimental,
    handle: async ({ threadId }) => {
      await knownThread(server, threadId);
      return { summary: null };
    },
  }),
  "thread/realtime/stop": method({
    params: z.object({ threadId: text }),
    experimental,
    handle: async ({ threadId }, call) => {
      await knownThread(server, threadId);
      const params = { threadId, reason: "requested" };
      call.afterAnswer(() => call.connection.tell({ method: "thread/realtime/closed", params }));
      return {};
    },
  }),
});

const accounts: MethodTable = {
  "account/bedrock/checkGovCloudRequirements": method({
    params: anySchema,
    experimental,
    handle: () => ({ isGovCloud: false, shouldWarn: false }),
  }),
  "account/bedrock/discover": method({
    params: anySchema,
    experimental,
    handle: () => ({ profiles: [], environmentCredentials: [] }),
  }),
  "account/gatewayOAuth/cancel": method({ params: anySchema, handle: () => ({}) }),
  "account/securitySetup/read": method({ params: anySchema, handle: () => ({ notice: null }) }),
  "accountSession/list": method({
    params: z.object({ refreshWorkspaceMetadata: optionalFlag }),
    experimental,
    handle: () => ({ activeSessionId: null, sessions: [] }),
  }),
  "userVerification/status": method({
    params: anySchema,
    experimental,
    handle: () => ({
      credentialId: null,
      unavailableReason: "providerUnavailable",
      unavailableMessage: "User verification is not available in this build or account.",
    }),
  }),
  "windowsSandbox/readiness": method({ params: anySchema, handle: () => ({ status: "notConfigured" }) }),
};

const plugins: MethodTable = {
  "app/read": method({
    params: loose(z.object({ appIds: z.array(text), threadId: optionalText, includeTools: optionalFlag })),
    handle: ({ appIds }) => ({ apps: [], missingAppIds: appIds }),
  }),
  "externalAgentConfig/import/readHistories": method({
    params: anySchema,
    handle: () => ({ data: [], connectors: [] }),
  }),
  "marketplace/upgrade": method({
    params: z.object({ marketplaceName: optionalText }),
    handle: ({ marketplaceName }) => {
      if (marketplaceName != null) throw invalidRequest(`marketplace \`${marketplaceName}\` is not configured`);
      return { selectedMarketplaces: [], upgradedRoots: [], errors: [] };
    },
  }),
  "plugin/reconcile": method({
    params: z.object({ reason: optionalText }),
    handle: () => ({ changedPlugins: [], failedRemotePluginIds: [], failedMaterializationRemotePluginIds: [] }),
  }),
  "plugin/search": method({
    params: loose(
      z.object({
        ...page,
        searchTerm: text,
        scope: z.enum(["global", "workspace", "personal"]).nullish(),
        cwds: optionalTexts,
      }),
    ),
    experimental,
    handle: () => NONE,
  }),
};

const places: MethodTable = {
  "memory/reset": method({ params: anySchema, experimental, handle: () => ({}) }),
  "project/list": method({
    params: z.object({ ...page, sortKey: z.enum(["position", "recencyAt"]).nullish(), sortDirection }),
    experimental,
    handle: () => NONE,
  }),
  "rollout/compress": method({ params: anySchema, experimental, handle: () => ({}) }),
  "thread/realtime/list": method({
    params: loose(z.object(recorded)),
    experimental,
    handle: () => ({ ...NONE, snapshotEnd: 0, projectedThroughItemIndex: 0, coverage: "unsupported" }),
  }),
};
