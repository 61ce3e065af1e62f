/** What the model is told before the first user message, and whenever the settings change (SPEC 5.2 and 5.3, 0.80's form). */

import { type SandboxPolicy, sandboxModeOf } from "../protocol/policy.ts";
import { developerMessage, type ResponseItem, userMessage } from "../protocol/response-item.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";

/** The settings that the model is told of. */
export type Environment = Pick<ResolvedThreadConfig, "cwd" | "approvalPolicy" | "sandboxPolicy">;

const SHELL = "bash";

export function initialContext(config: ResolvedThreadConfig): ResponseItem[] {
  const items: ResponseItem[] = [];
  if (config.developerInstructions) items.push(developerMessage(config.developerInstructions));
  if (config.userInstructions) {
    items.push(
      userMessage(
        `# AGENTS.md instructions for ${config.cwd}\n\n<INSTRUCTIONS>\n${config.userInstructions}\n</INSTRUCTIONS>`,
      ),
    );
  }
  items.push(userMessage(environmentContext(environmentLines(config))));
  return items;
}

/** The message that tells the model what changed; undefined when nothing that it knows of did. */
export function environmentUpdate(before: Environment, now: Environment): ResponseItem | undefined {
  const known = new Set(environmentLines(before));
  const changed = environmentLines(now).filter((line) => !known.has(line));
  return changed.length === 0 ? undefined : userMessage(environmentContext(changed));
}

const environmentContext = (lines: readonly string[]): string =>
  ["<environment_context>", ...lines, `  <shell>${SHELL}</shell>`, "</environment_context>"].join("\n");

function environmentLines({ cwd, approvalPolicy, sandboxPolicy }: Environment): string[] {
  const roots = sandboxPolicy.type === "workspace-write" ? sandboxPolicy.writable_roots : [];
  return [
    `  <cwd>${cwd}</cwd>`,
    `  <approval_policy>${approvalPolicy}</approval_policy>`,
    `  <sandbox_mode>${sandboxModeOf(sandboxPolicy)}</sandbox_mode>`,
    `  <network_access>${hasNetwork(sandboxPolicy) ? "enabled" : "restricted"}</network_access>`,
    ...(roots.length === 0
      ? []
      : [["  <writable_roots>", ...roots.map((root) => `    <root>${root}</root>`), "  </writable_roots>"].join("\n")]),
  ];
}

const hasNetwork = (policy: SandboxPolicy): boolean =>
  policy.type === "danger-full-access" ||
  (policy.type === "external-sandbox" && policy.network_access === "enabled") ||
  (policy.type === "workspace-write" && policy.network_access);
