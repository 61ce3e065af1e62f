/** What the model is told before the first user message, and whenever the settings change (SPEC 5.2 and 5.3, 0.80's form). */

import {
  askForApprovalSchema,
  plainApprovalOf,
  type SandboxPolicy,
  sandboxModeOf,
  sandboxPolicySchema,
} from "../protocol/policy.ts";
import {
  developerMessage,
  type MessageItem,
  type ResponseItem,
  textOf,
  userMessage,
} from "../protocol/response-item.ts";
import type { TurnContextItem } from "../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { modeMessages, toldMode } from "./collaboration-mode.ts";

/** What the model receives of the settings. */
export type Told = Environment & Instructions;
export type Environment = Pick<ResolvedThreadConfig, "cwd" | "approvalPolicy" | "sandboxPolicy">;
type Instructions = Pick<ResolvedThreadConfig, "developerInstructions" | "userInstructions" | "collaborationMode">;

const SHELL = "bash";
const USER_INSTRUCTIONS = /^# AGENTS\.md instructions for [^\n]*\n\n<INSTRUCTIONS>\n([\s\S]*)\n<\/INSTRUCTIONS>$/;
/** Developer messages of the program's own, such as the mark of an interrupt, open with a tag. */
const TAG = /^<[a-z_]+[ >]/;

export const initialContext = (config: Told): ResponseItem[] => [
  ...instructions(config),
  userMessage(environmentContext(environmentLines(config))),
  ...modeMessages(null, config.collaborationMode),
];

/** The messages that tell the model what changed; none when nothing that it knows of did. */
export function contextUpdate(before: Told, now: Told): ResponseItem[] {
  const known = new Set(environmentLines(before));
  const changed = environmentLines(now).filter((line) => !known.has(line));
  const { cwd, developerInstructions, userInstructions } = now;
  return [
    ...instructions({
      cwd,
      developerInstructions: developerInstructions === before.developerInstructions ? null : developerInstructions,
      userInstructions: userInstructions === before.userInstructions ? null : userInstructions,
    }),
    ...(changed.length === 0 ? [] : [userMessage(environmentContext(changed))]),
    ...modeMessages(before.collaborationMode, now.collaborationMode),
  ];
}

/** What a stored turn context says of the settings; undefined where it is of a form that is not known here. */
export function toldEnvironment(context: TurnContextItem): Environment | undefined {
  const approvalPolicy = askForApprovalSchema.safeParse(context.approval_policy).data;
  const sandboxPolicy = sandboxPolicySchema.safeParse(context.sandbox_policy).data;
  if (typeof context.cwd !== "string" || approvalPolicy === undefined || sandboxPolicy === undefined) return undefined;
  return { cwd: context.cwd, approvalPolicy, sandboxPolicy };
}

/** What of the instructions a history says last. */
export function toldInstructions(items: readonly ResponseItem[]): Instructions {
  const said = <T>(read: (item: MessageItem) => T | undefined): T | null => {
    for (let at = items.length - 1; at >= 0; at -= 1) {
      const item = items[at];
      const found = item?.type === "message" ? read(item) : undefined;
      if (found !== undefined) return found;
    }
    return null;
  };
  return {
    developerInstructions: said((item) =>
      item.role === "developer" && !TAG.test(textOf(item)) ? textOf(item) : undefined,
    ),
    collaborationMode: said(toldMode),
    userInstructions: said((item) => (item.role === "user" ? USER_INSTRUCTIONS.exec(textOf(item))?.[1] : undefined)),
  };
}

function instructions({
  cwd,
  developerInstructions,
  userInstructions,
}: Omit<Instructions, "collaborationMode"> & { cwd: string }): ResponseItem[] {
  const items: ResponseItem[] = [];
  if (developerInstructions) items.push(developerMessage(developerInstructions));
  if (userInstructions) {
    items.push(
      userMessage(`# AGENTS.md instructions for ${cwd}\n\n<INSTRUCTIONS>\n${userInstructions}\n</INSTRUCTIONS>`),
    );
  }
  return items;
}

const environmentContext = (lines: readonly string[]): string =>
  ["<environment_context>", ...lines, `  <shell>${SHELL}</shell>`, "</environment_context>"].join("\n");

/** A granular policy is told as what it means for commands: models know these words, and it is they who choose commands. */
function environmentLines({ cwd, approvalPolicy, sandboxPolicy }: Environment): string[] {
  const roots = sandboxPolicy.type === "workspace-write" ? sandboxPolicy.writable_roots : [];
  return [
    `  <cwd>${cwd}</cwd>`,
    `  <approval_policy>${plainApprovalOf(approvalPolicy)}</approval_policy>`,
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
