/** Whether a command may run, has to be asked about, or is refused: approval policies applied to commands (Codex's rules). */
import {
  type AskForApproval,
  type PlainApproval,
  plainApprovalOf,
  silentPolicyName,
} from "../../../protocol/policy.ts";
import type { Consents } from "../../consents.ts";
import { isKnownSafe, mightBeDangerous } from "./known-safe.ts";
import { plainCommands } from "./plain-commands.ts";

export type CommandRequest = {
  readonly script: string;
  /** The model asks to run it without the sandbox. */
  readonly escalated: boolean;
  readonly approvalPolicy: AskForApproval;
  readonly consents: Consents;
};

export type Verdict =
  | { readonly kind: "run" }
  /** `amendment`: the words whose approval would allow this and any like command from now on. */
  | { readonly kind: "ask"; readonly amendment: readonly string[] | null }
  | { readonly kind: "refuse"; readonly message: string };

/** Codex's names, which the refusals use. */
const NAMES: Readonly<Record<PlainApproval, string>> = {
  untrusted: "UnlessTrusted",
  "on-failure": "OnFailure",
  "on-request": "OnRequest",
  never: "Never",
};

export function judgeCommand({ script, escalated, approvalPolicy, consents }: CommandRequest): Verdict {
  const policy = plainApprovalOf(approvalPolicy);
  if (escalated && policy !== "on-request") {
    const name = typeof approvalPolicy === "string" ? NAMES[approvalPolicy] : silentPolicyName(approvalPolicy);
    const message = `approval policy is ${name}; reject command — you should not ask for escalated permissions if the approval policy is ${name}`;
    return { kind: "refuse", message };
  }
  const commands = plainCommands(script);
  const unknown = commands?.filter((command) => !consents.allowsCommand(command.words));
  if (unknown?.length === 0) return { kind: "run" };
  const open = escalated ? unknown : unknown?.filter((command) => !isKnownSafe(command));
  const amendment = open?.[0]?.words ?? null;
  if (unknown?.some(mightBeDangerous)) {
    if (policy !== "never") return { kind: "ask", amendment: null };
    const why = `it needs an approval, and the approval policy is ${silentPolicyName(approvalPolicy)}`;
    return { kind: "refuse", message: `\`${script}\` rejected: ${why}` };
  }
  if (escalated) return { kind: "ask", amendment };
  if (policy !== "untrusted" || open?.length === 0) return { kind: "run" };
  return { kind: "ask", amendment };
}
