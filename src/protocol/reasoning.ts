import * as z from "zod";

/** Codex's levels. Models of other providers define their own, so any text that is not empty is taken. */
export type ReasoningEffort = "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | (string & {});
export type ReasoningSummary = "auto" | "concise" | "detailed" | "none";

export const reasoningEffortSchema: z.ZodType<ReasoningEffort> = z.string().min(1);
export const reasoningSummarySchema: z.ZodType<ReasoningSummary> = z.enum(["auto", "concise", "detailed", "none"]);
