/** The settings that start, resume and fork may give. */
import * as z from "zod";
import { askForApprovalSchema } from "../../protocol/policy.ts";
import { optionalText } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ThreadSettings } from "../thread-configs.ts";
import { sandboxModeSchema } from "./settings.ts";

export const SETTINGS_FAILURE = "failed to load configuration";

/** Fields of the three methods' params; others that Skein has no use for are taken and passed over. */
export const overrideFields = {
  model: optionalText,
  modelProvider: optionalText,
  cwd: optionalText,
  approvalPolicy: askForApprovalSchema.nullish(),
  sandbox: sandboxModeSchema.nullish(),
  permissions: optionalText,
  config: z.record(z.string(), z.unknown()).nullish(),
  serviceTier: optionalText,
  baseInstructions: optionalText,
  developerInstructions: optionalText,
  ephemeral: z.boolean().nullish(),
};

const overrideSchema = z.object(overrideFields);
export type Overrides = z.infer<typeof overrideSchema>;

export function settingsOf(given: Overrides): ThreadSettings {
  if (given.permissions != null && given.sandbox != null) {
    throw invalidRequest("`permissions` cannot be combined with `sandbox`");
  }
  return {
    typed: {
      model: given.model ?? undefined,
      modelProvider: given.modelProvider ?? undefined,
      cwd: given.cwd ?? undefined,
      approvalPolicy: given.approvalPolicy ?? undefined,
      sandboxMode: given.sandbox ?? undefined,
      serviceTier: given.serviceTier === "" ? null : given.serviceTier,
      baseInstructions: given.baseInstructions ?? undefined,
      developerInstructions: given.developerInstructions ?? undefined,
      ephemeral: given.ephemeral ?? undefined,
    },
    config: given.permissions == null ? given.config : { ...given.config, default_permissions: given.permissions },
  };
}
