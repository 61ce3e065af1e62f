/** Whether a command may run, and where: policy, sandbox and the user's word, for every tool that runs commands. */

import type { ProcessEnvironment } from "../../../process/clean-environment.ts";
import { untilLastWriter } from "../../../process/last-writers.ts";
import type { Launch } from "../../../process/launch.ts";
import { type ConfineOptions, confine, obstacleTo } from "../../../process/sandbox/confine.ts";
import { looksDenied } from "../../../process/sandbox/denial.ts";
import { isOpen } from "../../../process/sandbox/writable-area.ts";
import { SandboxUnavailableError } from "../../../protocol/errors.ts";
import { plainApprovalOf } from "../../../protocol/policy.ts";
import type { ExecApprovalRequestEvent } from "../../../protocol/tool-events.ts";
import type { ParsedCommand } from "../../../protocol/turn-item.ts";
import { type CallContext, heed, Rejection } from "../call-context.ts";
import { judgeCommand, type Verdict } from "./command-policy.ts";
import { confinementOf } from "./confinement.ts";

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

const REJECTED = "exec command rejected by user";

export class CommandGate {
  readonly #call: CallContext;
  readonly #request: CommandRequest;
  readonly #environment: ProcessEnvironment;
  #verdict: Exclude<Verdict, { kind: "refuse" }> = { kind: "run" };
  /** Why the command cannot be confined, where that is wanted. */
  #obstacle: string | undefined;

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
    const policy = plainApprovalOf(approvalPolicy);
    this.#obstacle = this.#wantsOpen ? undefined : await obstacleTo(this.#confinement);
    if (this.#obstacle === undefined || (policy !== "never" && policy !== "on-request")) return undefined;
    const hint =
      policy === "on-request"
        ? ' To run it without a sandbox, ask for it with sandbox_permissions "require_escalated" and a justification.'
        : "";
    return `command refused: the sandbox mode is ${sandboxMode}, and ${this.#obstacle}.${hint}`;
  }

  /** Asks where that is due, and says where the command is to run. @throws Rejection; or the reason of the turn's abort */
  async clear(): Promise<Place> {
    const obstacle = this.#obstacle;
    const place = this.#wantsOpen || obstacle !== undefined ? "open" : "sandbox";
    const verdict = this.#verdict;
    if (verdict.kind === "run" && obstacle === undefined) return place;
    const reason = obstacle === undefined ? this.#request.justification : `${obstacle}; run the command without one?`;
    await this.#ask({ reason, amendment: this.#amendmentOf(verdict), place, when: "first" });
    return place;
  }

  /**
   * Asks to run the command again without the sandbox, when that seems to have kept it from its work and the policy
   * lets us ask. False when it is not asked. @throws Rejection
   */
  async clearRetry(place: Place, result: { exitCode: number; aggregated: string }): Promise<boolean> {
    const policy = plainApprovalOf(this.#call.config.approvalPolicy);
    const asks = policy !== "never" && policy !== "on-request";
    if (!asks || place === "open" || !looksDenied(result)) return false;
    await this.#ask({
      reason: "command failed; retry without sandbox?",
      amendment: null,
      place: "open",
      when: "again",
    });
    return true;
  }

  /** What is to be started. @throws Rejection where it cannot be confined any more */
  async launch(place: Place, env: Record<string, string>): Promise<Launch> {
    const { argv, workdir } = this.#request;
    if (place === "open") return { argv, cwd: workdir, env };
    try {
      return await confine({ argv: untilLastWriter(argv), workdir, env }, this.#confinement);
    } catch (error) {
      throw error instanceof SandboxUnavailableError ? new Rejection(`command refused: ${error.message}`) : error;
    }
  }

  get #wantsOpen(): boolean {
    return this.#request.escalated || isOpen(this.#call.config.sandboxPolicy);
  }

  get #confinement(): ConfineOptions {
    return confinementOf(this.#call, this.#environment);
  }

  /** The model's own proposal counts where it is the beginning of what would be proposed anyway. */
  #amendmentOf(verdict: Verdict): readonly string[] | null {
    const words = verdict.kind === "ask" ? verdict.amendment : null;
    const { prefixRule = [] } = this.#request;
    const fits = words !== null && prefixRule.length > 0 && prefixRule.every((word, index) => words[index] === word);
    return fits ? prefixRule : words;
  }

  /** @param question.when whether the command has not run yet, or is to run again */
  async #ask(question: {
    reason: string | null;
    amendment: readonly string[] | null;
    place: Place;
    when: "first" | "again";
  }): Promise<void> {
    const { reason, amendment, place, when } = question;
    const { consents, callId, turnId } = this.#call;
    const { argv, workdir, parsed } = this.#request;
    const action = JSON.stringify(["exec", argv, workdir, place]);
    if (consents.allows(action)) return;
    const request: ExecApprovalRequestEvent = {
      type: "exec_approval_request",
      call_id: callId,
      turn_id: turnId,
      command: [...argv],
      cwd: workdir,
      parsed_cmd: parsed,
      ...(reason === null ? {} : { reason }),
      ...(amendment === null ? {} : { proposed_execpolicy_amendment: [...amendment] }),
    };
    const decision = await (when === "first" ? this.#call.askFirst(request) : this.#call.ask(request));
    heed(decision, consents, action, REJECTED);
  }
}
