/** What v1's requests hold (SPEC 10). Everything optional may be null. */
import * as z from "zod";
import { parseThreadId, type ThreadId } from "../../protocol/ids.ts";
import {
  plainApprovalSchema,
  reasoningSummarySchema,
  sandboxModeSchema,
  sandboxPolicySchema,
} from "../../protocol/policy.ts";
import type { UserInput } from "../../protocol/user-input.ts";
import { optionalCount, optionalFlag, optionalText, optionalTexts, text } from "../params.ts";
import { textOfError } from "../rpc-error.ts";
import type { ThreadSettings } from "../thread-configs.ts";

/** Codex reads ids with the params, so what it says of them is the uuid library's. */
const uuid = (before = "") =>
  text.transform((given, context): ThreadId => {
    try {
      return parseThreadId(given);
    } catch (error) {
      context.addIssue({ code: "custom", message: `${before}${textOfError(error)}` });
      return z.NEVER;
    }
  });
export const conversationId = uuid();

export const overridesSchema = z.object({
  model: optionalText,
  modelProvider: optionalText,
  profile: optionalText,
  cwd: optionalText,
  approvalPolicy: plainApprovalSchema.nullish(),
  sandbox: sandboxModeSchema.nullish(),
  config: z.record(z.string(), z.unknown()).nullish(),
  baseInstructions: optionalText,
  developerInstructions: optionalText,
  compactPrompt: optionalText,
  /** Changes nothing here. */
  includeApplyPatchTool: optionalFlag,
});
export type V1Overrides = z.infer<typeof overridesSchema>;

export const settingsOf = (given: V1Overrides | null | undefined): ThreadSettings => ({
  typed: {
    model: given?.model ?? undefined,
    modelProvider: given?.modelProvider ?? undefined,
    cwd: given?.cwd ?? undefined,
    approvalPolicy: given?.approvalPolicy ?? undefined,
    sandboxMode: given?.sandbox ?? undefined,
    baseInstructions: given?.baseInstructions ?? undefined,
    developerInstructions: given?.developerInstructions ?? undefined,
    compactPrompt: given?.compactPrompt ?? undefined,
  },
  config: given?.config,
  profile: given?.profile,
});

export const forkSchema = z.object({
  path: optionalText,
  conversationId: conversationId.nullish(),
  overrides: overridesSchema.nullish(),
});
export const resumeSchema = forkSchema.extend({ history: z.array(z.unknown()).nullish() });

const item = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text"), data: z.object({ text }) }),
  z.object({ type: z.literal("image"), data: z.object({ image_url: text }) }),
  z.object({ type: z.literal("localImage"), data: z.object({ path: text }) }),
]);
export const messageSchema = z.object({ conversationId, items: z.array(item) });
export const turnSchema = messageSchema.extend({
  cwd: text,
  approvalPolicy: plainApprovalSchema,
  sandboxPolicy: sandboxPolicySchema,
  model: text,
  effort: optionalText,
  summary: reasoningSummarySchema,
  outputSchema: z.unknown().optional(),
});

export function inputOf(given: z.infer<typeof item>): UserInput {
  switch (given.type) {
    case "text":
      return { type: "text", text: given.data.text, text_elements: [] };
    case "image":
      return { type: "image", image_url: given.data.image_url };
    case "localImage":
      return { type: "local_image", path: given.data.path };
  }
}

export const listenerSchema = z.object({ conversationId, experimentalRawEvents: optionalFlag });
export const subscriptionSchema = z.object({ subscriptionId: uuid("UUID parsing failed: ") });
export const idSchema = z.object({ conversationId });
export const archiveSchema = z.object({ conversationId, rolloutPath: text });
export const listSchema = z.object({ pageSize: optionalCount, cursor: optionalText, modelProviders: optionalTexts });
