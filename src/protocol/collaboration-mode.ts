import * as z from "zod";
import { type ReasoningEffort, reasoningEffortSchema } from "./policy.ts";

/** How a model works with its user: `plan` makes a plan and changes nothing; `default` does the work. */
export type CollaborationModeName = "plan" | "default";

/** The mode of a thread. `instructions` are what the model is told of it; null: our own words. */
export type CollaborationMode = { mode: CollaborationModeName; instructions: string | null };

export const collaborationModeSchema: z.ZodType<CollaborationMode> = z.object({
  mode: z.enum(["plan", "default"]),
  instructions: z.string().nullable(),
});

/** As an op gives one, in Codex's form: with a model and its effort, which become the thread's. */
export type GivenCollaborationMode = {
  /** An unknown mode acts as `default`. */
  mode: string;
  settings: {
    model: string;
    reasoning_effort?: ReasoningEffort | null | undefined;
    developer_instructions?: string | null | undefined;
  };
};

export const givenCollaborationModeSchema: z.ZodType<GivenCollaborationMode> = z.looseObject({
  mode: z.string(),
  settings: z.looseObject({
    model: z.string().min(1),
    reasoning_effort: reasoningEffortSchema.nullish(),
    developer_instructions: z.string().nullish(),
  }),
});

export const collaborationModeOf = ({ mode, settings }: GivenCollaborationMode): CollaborationMode => ({
  mode: mode === "plan" ? "plan" : "default",
  instructions: settings.developer_instructions ?? null,
});
