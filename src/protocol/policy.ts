import * as z from "zod";
import { isJsonObject } from "./unknown-kind.ts";

/** When the user is asked before a command runs. Codex's default is `on-request`. */
export type AskForApproval = PlainApproval | { granular: GranularApproval };
/** The policies of one word, which every version of Codex's protocol can write. */
export type PlainApproval = "untrusted" | "on-failure" | "on-request" | "never";
/** Which kinds of questions are asked (stock 0.171): true asks as `on-request` does, false declines unasked, as `never` does. */
export type GranularApproval = {
  /** Commands outside of the sandbox, dangerous ones, patches outside of the writable folders, tools of the embedder's. */
  sandbox_approval: boolean;
  /** Prompts of exec-policy rules. Skein has no such rules, and so no such question. */
  rules: boolean;
  /** Stored and shown: Skein asks no such question. */
  skill_approval: boolean;
  /** Stored and shown: Skein asks no such question. */
  request_permissions: boolean;
  /** What MCP servers ask the user. */
  mcp_elicitations: boolean;
};
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

export const plainApprovalSchema: z.ZodType<PlainApproval> = z.enum(["untrusted", "on-failure", "on-request", "never"]);

/** In stock's words, with `on-failure` among the names; undefined where the parts say what is wrong. */
function wrongPolicy(given: unknown): string | undefined {
  const names = isJsonObject(given) ? Object.keys(given) : [given];
  const [name] = names;
  if (names.length !== 1) return "invalid value: map, expected map with a single key";
  if (given === "granular") return "invalid type: unit variant, expected struct variant";
  if (typeof name !== "string" || name === "granular") return undefined;
  return `unknown variant \`${name}\`, expected one of \`untrusted\`, \`on-failure\`, \`on-request\`, \`granular\`, \`never\``;
}

export const askForApprovalSchema: z.ZodType<AskForApproval> = z.union(
  [
    plainApprovalSchema,
    z.strictObject({
      granular: z.object({
        sandbox_approval: z.boolean(),
        rules: z.boolean(),
        skill_approval: z.boolean().default(false),
        request_permissions: z.boolean().default(false),
        mcp_elicitations: z.boolean(),
      }),
    }),
  ],
  { error: ({ input }) => wrongPolicy(input) },
);
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

/** What a policy means for commands, patches and tools. */
export function plainApprovalOf(policy: AskForApproval): PlainApproval {
  if (typeof policy === "string") return policy;
  return policy.granular.sandbox_approval ? "on-request" : "never";
}

/** Whether MCP servers may ask the user. */
export const asksForServers = (policy: AskForApproval): boolean =>
  typeof policy === "string" ? policy !== "never" : policy.granular.mcp_elicitations;

/** Of a policy that asks nobody about commands: its name in a refusal. */
export const silentPolicyName = (policy: AskForApproval): string =>
  typeof policy === "string" ? policy : "granular without sandbox_approval";

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
