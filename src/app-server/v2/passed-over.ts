/**
 * Params that stock Codex reads and Skein has no use for. Their types are checked all the same: a client that errs hears of it
 * here as it would there.
 */
import * as z from "zod";
import { optionalCount, optionalFlag, optionalText, optionalTexts, text, wrongVariant } from "../params.ts";

const reviewed = { approvalsReviewer: z.enum(["user", "auto_review", "guardian_subagent"]).nullish() };
const placed = {
  environments: z
    .array(z.looseObject({ environmentId: text, cwd: text, runtimeWorkspaceRoots: optionalTexts }))
    .nullish(),
  runtimeWorkspaceRoots: optionalTexts,
};
const spoken = { personality: z.enum(["none", "friendly", "pragmatic"]).nullish() };
const inTurns = {
  ...reviewed,
  ...spoken,
  ...placed,
  disabledPluginIds: optionalTexts,
  multiAgentMode: z
    .union([z.enum(["none", "explicitRequestOnly", "proactive"]), z.object({ custom: text })], {
      error: ({ input }) => wrongMode(input),
    })
    .nullish(),
};
const metadata = z.record(z.string(), z.string()).nullish();
const fromClient = {
  responsesapiClientMetadata: metadata,
  responsesapiClientMetadataPatch: metadata,
};

function wrongMode(given: unknown): string {
  const modes = "`none`, `custom`, `explicitRequestOnly`, `proactive`";
  if (typeof given === "string") return `unknown variant \`${given}\`, expected one of ${modes}`;
  return wrongVariant(given);
}

export const passedOver = {
  start: {
    ...inTurns,
    mockExperimentalField: optionalText,
    allowProviderModelFallback: optionalFlag,
    daybreakEnabled: optionalFlag,
    selectedCapabilityRoots: z.array(z.looseObject({ id: text, location: z.unknown() })).nullish(),
    serviceName: optionalText,
    sessionStartSource: z.enum(["startup", "clear"]).nullish(),
  },
  resume: { ...reviewed, ...spoken, runtimeWorkspaceRoots: optionalTexts },
  fork: {
    ...reviewed,
    runtimeWorkspaceRoots: optionalTexts,
    deferGoalContinuation: optionalFlag,
    experimentalDisablePredictionMcp: optionalFlag,
    experimentalPredictionMode: optionalFlag,
  },
  settings: inTurns,
  turn: {
    ...fromClient,
    cyberAccessProgram: z.enum(["standard", "daybreakBlue", "daybreakRed"]).nullish(),
    parentTurnId: optionalText,
    rootTurnId: optionalText,
    serviceTierForTurn: optionalText,
    turnTrigger: optionalText,
  },
  steer: fromClient,
  queued: { responsesapiClientMetadata: metadata },
  list: { currentAccountOnly: optionalFlag, useStateDbOnly: optionalFlag },
  search: { currentAccountOnly: optionalFlag, includeAttachedThreads: optionalFlag },
  items: {
    deferOutput: z.looseObject({ commandExecution: optionalFlag, mcpToolCall: optionalFlag }).nullish(),
  },
  plugins: {
    cwds: optionalTexts,
    forceRefetch: optionalFlag,
    marketplaceKinds: z
      .array(z.enum(["local", "vertical", "workspace-directory", "shared-with-me", "created-by-me-remote"]))
      .nullish(),
  },
  installed: { cwds: optionalTexts, installSuggestionPluginNames: optionalTexts },
  apps: { cursor: optionalText, forceRefetch: optionalFlag, limit: optionalCount },
  detect: {
    cwds: optionalTexts,
    includeHome: optionalFlag,
    maxSessionAgeDays: optionalCount,
    maxSessions: optionalCount,
    migrationSource: optionalText,
    source: optionalText,
  },
  feedback: {
    classification: text,
    extraLogFiles: optionalTexts,
    includeLogs: optionalFlag,
    reason: optionalText,
    tags: metadata,
    threadId: optionalText,
  },
};
