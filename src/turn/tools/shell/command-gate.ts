/** Whether a command may run, and where: policy, sandbox and the user's word, for every tool that runs commands. */

import type { ProcessEnvironment } from "../../../process/clean-environment.ts";
import { isOpen, looksDenied, sandboxed } from "../../../process/sandbox.ts";
import type { ParsedCommand } from "../../../protocol/turn-item.ts";
import type { CallContext } from "../call-context.ts";
import { heed, Rejection } from "../call-context.ts";
import { judgeCommand, type Verdict } from "./command-policy.ts";

export type CommandRequest = {
  readonly script: string;
  readonly argv: readonly string[];
  readonly workdir: string;
  /** What it does, for those who are asked. */
  readonly parsed: ParsedCommand[];
  readonly escalated: boolean;
  readonly justification: string | null;
  /** Words that the model proposes to allow from now on. */
  readonly prefixRule?: readonly string[] | undefined;
};

/** Where a command runs. */
export type Place = "open" | "sandbox";

export const REJECTED = "exec command rejected by user";
const NO_SANDBOX = "there is no sandbox here: bubblewrap (`bwrap`) is not installed";

export class CommandGate {
  readonly #call: CallContext;
  readonly #request: CommandRequest;
  readonly #environment: ProcessEnvironment;
  #verdict: Exclude<Verdict, { kind: "refuse" }> = { kind: "run" };
  #lacksSandbox = false;

  constructor(call: CallContext, request: CommandRequest, environment: ProcessEnvironment) {
    this.#call = call;
    this.#request = request;
    this.#environment = environment;
  }

  /** What refuses the command without a question; undefined when it may go on to `clear`. */
  async refusal(): Promise<string | undefined> {
    const { approvalPolicy, sandboxMode } = this.#call.config;
    const { script, escalated } = this.#request;
    const verdict = judgeCommand({ script, escalated, approvalPolicy, consents: this.#call.consents });
    if (verdict.kind === "refuse") return verdict.message;
    this.#verdict = verdict;
    this.#lacksSandbox = !this.#wantsOpen && (await this.#sandboxedArgv()) === undefined;
    if (!this.#lacksSandbox || (approvalPolicy !== "never" && approvalPolicy !== "on-request")) return undefined;
    const hint =
      approvalPolicy === "on-request"
        ? ' To run it without a sandbox, ask for it with sandbox_permissions "require_escalated" and a justification.'
        : "";
    return `command refused: the sandbox mode is ${sandboxMode}, and ${NO_SANDBOX}.${hint}`;
  }

  /** Asks where that is due, and says where the command is to run. @throws Rejection; or the reason of the turn's abort */
  async clear(): Promise<Place> {
    const place = this.#wantsOpen || this.#lacksSandbox ? "open" : "sandbox";
    const verdict = this.#verdict;
    if (verdict.kind === "run" && !this.#lacksSandbox) return place;
    const reason = this.#lacksSandbox ? `${NO_SANDBOX}; run the command without one?` : this.#request.justification;
    await this.#ask({ reason, amendment: this.#amendmentOf(verdict), place });
    return place;
  }

  /**
   * Asks to run the command again without the sandbox, when that seems to have kept it from its work and the policy
   * lets us ask. False when it is not asked. @throws Rejection
   */
  async clearRetry(place: Place, result: { exitCode: number; aggregated: string }): Promise<boolean> {
    const { approvalPolicy } = this.#call.config;
    const asks = approvalPolicy !== "never" && approvalPolicy !== "on-request";
    if (!asks || place === "open" || !looksDenied(result)) return false;
    await this.#ask({ reason: "command failed; retry without sandbox?", amendment: null, place: "open" });
    return true;
  }

  /** The command line to start. @throws Rejection where the sandbox has gone meanwhile */
  async program(place: Place): Promise<readonly string[]> {
    const program = place === "open" ? this.#request.argv : await this.#sandboxedArgv();
    if (program === undefined) throw new Rejection(`command refused: ${NO_SANDBOX}`);
    return program;
  }

  get #wantsOpen(): boolean {
    return this.#request.escalated || isOpen(this.#call.config.sandboxPolicy);
  }

  #sandboxedArgv(): Promise<readonly string[] | undefined> {
    const { sandboxPolicy: policy, cwd } = this.#call.config;
    const { argv, workdir } = this.#request;
    return sandboxed(argv, { policy, cwd, workdir, environment: this.#environment });
  }

  /** The model's own proposal counts where it is the beginning of what would be proposed anyway. */
  #amendmentOf(verdict: Verdict): readonly string[] | null {
    const words = verdict.kind === "ask" ? verdict.amendment : null;
    const { prefixRule = [] } = this.#request;
    const fits = words !== null && prefixRule.length > 0 && prefixRule.every((word, index) => words[index] === word);
    return fits ? prefixRule : words;
  }

  async #ask(question: { reason: string | null; amendment: readonly string[] | null; place: Place }): Promise<void> {
    const { reason, amendment, place } = question;
    const { consents, callId, turnId } = this.#call;
    const { argv, workdir, parsed } = this.#request;
    const action = JSON.stringify(["exec", argv, workdir, place]);
    if (consents.allows(action)) return;
    const decision = await this.#call.ask({
      type: "exec_approval_request",
      call_id: callId,
      turn_id: turnId,
      command: [...argv],
      cwd: workdir,
      parsed_cmd: parsed,
      ...(reason === null ? {} : { reason }),
      ...(amendment === null ? {} : { proposed_execpolicy_amendment: [...amendment] }),
    });
    heed(decision, consents, action, REJECTED);
  }
}
