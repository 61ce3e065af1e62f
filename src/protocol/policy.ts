import * as z from "zod";

/** When the user is asked before a command runs. Codex's default is `on-request`. */
export type AskForApproval = "untrusted" | "on-failure" | "on-request" | "never";
/** Codex's short names for the sandbox policies. */
export type SandboxMode = "read-only" | "workspace-write" | "danger-full-access";
/** Whether sandboxed commands reach the network. */
export type NetworkAccess = "restricted" | "enabled";

/** What a command may touch, as Codex's core writes it (SPEC 2). */
export type SandboxPolicy =
  | { type: "danger-full-access" }
  | { type: "read-only" }
  | { type: "external-sandbox"; network_access: NetworkAccess }
  | {
      type: "workspace-write";
      writable_roots: string[];
      network_access: boolean;
      exclude_tmpdir_env_var: boolean;
      exclude_slash_tmp: boolean;
    };

/** The answer to an approval request. `abort` also interrupts the turn. */
export type ReviewDecision =
  | "approved"
  | { approved_execpolicy_amendment: { proposed_execpolicy_amendment: string[] } }
  | "approved_for_session"
  | "denied"
  | "abort";

export const askForApprovalSchema: z.ZodType<AskForApproval> = z.enum([
  "untrusted",
  "on-failure",
  "on-request",
  "never",
]);
export const sandboxModeSchema: z.ZodType<SandboxMode> = z.enum(["read-only", "workspace-write", "danger-full-access"]);

/** Absent fields get Codex's defaults: no extra roots, no network, temporary folders included. */
export const sandboxPolicySchema: z.ZodType<SandboxPolicy> = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("danger-full-access") }),
  z.looseObject({ type: z.literal("read-only") }),
  z.looseObject({
    type: z.literal("external-sandbox"),
    network_access: z.enum(["restricted", "enabled"]).default("restricted"),
  }),
  z.looseObject({
    type: z.literal("workspace-write"),
    writable_roots: z.array(z.string()).default([]),
    network_access: z.boolean().default(false),
    exclude_tmpdir_env_var: z.boolean().default(false),
    exclude_slash_tmp: z.boolean().default(false),
  }),
]);

export const reviewDecisionSchema: z.ZodType<ReviewDecision> = z.union([
  z.enum(["approved", "approved_for_session", "denied", "abort"]),
  z.object({
    approved_execpolicy_amendment: z.looseObject({ proposed_execpolicy_amendment: z.array(z.string()) }),
  }),
]);

/** The policy that a mode stands for. `writableRoots` count for `workspace-write` only. */
export function sandboxPolicyOfMode(mode: SandboxMode, writableRoots: readonly string[] = []): SandboxPolicy {
  if (mode !== "workspace-write") return { type: mode };
  return {
    type: "workspace-write",
    writable_roots: [...writableRoots],
    network_access: false,
    exclude_tmpdir_env_var: false,
    exclude_slash_tmp: false,
  };
}

/** The mode that shows a policy to the model: an external sandbox leaves the disk open, so it reads as full access. */
export const sandboxModeOf = (policy: SandboxPolicy): SandboxMode =>
  policy.type === "external-sandbox" ? "danger-full-access" : policy.type;

/** Codex's levels. Models of other providers define their own, so any text that is not empty is taken. */
export type ReasoningEffort = "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | (string & {});
/** How much of its thoughts a model is asked to sum up. */
export type ReasoningSummary = "auto" | "concise" | "detailed" | "none";

export const reasoningEffortSchema: z.ZodType<ReasoningEffort> = z.string().min(1, "must not be empty");
export const modelVerbositySchema: z.ZodType<ModelVerbosity> = z.enum(["low", "medium", "high"]);
/** How much a model is asked to say. */
export type ModelVerbosity = "low" | "medium" | "high";

export const reasoningSummarySchema: z.ZodType<ReasoningSummary> = z.enum(["auto", "concise", "detailed", "none"]);
