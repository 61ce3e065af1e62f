/** One call of shell_command: its events, its approvals, its sandbox and its process, in this order (SPEC 4.3). */
import type { ExecCommandBeginEvent } from "../../../protocol/tool-events.ts";
import type { CommandExecutionTurnItem } from "../../../protocol/turn-item.ts";
import { type CallContext, durationOf } from "../call-context.ts";
import { type ProcessEnvironment, withoutSecrets } from "../clean-environment.ts";
import { heed, Rejection } from "../rejection.ts";
import { isOpen, looksDenied, sandboxed } from "../sandbox.ts";
import { outputForModel, shownOutput } from "./command-output.ts";
import { judgeCommand, type Verdict } from "./command-policy.ts";
import { type CommandResult, runCommand } from "./command-run.ts";
import { parsedCommands } from "./parsed-command.ts";

export type ShellRequest = {
  readonly script: string;
  readonly argv: readonly string[];
  readonly workdir: string;
  readonly timeoutMs: number;
  readonly escalated: boolean;
  readonly justification: string | null;
};

const REJECTED = "exec command rejected by user";
const NO_SANDBOX = "there is no sandbox here: bubblewrap (`bwrap`) is not installed";

/** Where the command is to run. */
type Place = "open" | "sandbox";

export class CommandCall {
  readonly #call: CallContext;
  readonly #request: ShellRequest;
  readonly #environment: ProcessEnvironment;
  readonly #about: Omit<ExecCommandBeginEvent, "type">;
  #hasEnded = false;

  constructor(call: CallContext, request: ShellRequest, environment: ProcessEnvironment) {
    this.#call = call;
    this.#request = request;
    this.#environment = environment;
    this.#about = {
      call_id: call.callId,
      turn_id: call.turnId,
      command: [...request.argv],
      cwd: request.workdir,
      parsed_cmd: parsedCommands(request.script),
      source: "agent",
    };
  }

  async run(): Promise<string> {
    const { approvalPolicy } = this.#call.config;
    const { script, escalated } = this.#request;
    const verdict = judgeCommand({ script, escalated, approvalPolicy, consents: this.#call.consents });
    if (verdict.kind === "refuse") return verdict.message;
    const lacksSandbox = await this.#lacksSandbox();
    if (lacksSandbox && (approvalPolicy === "never" || approvalPolicy === "on-request"))
      return this.#refuseUnsandboxed();
    this.#begin();
    try {
      const place = await this.#clear(verdict, lacksSandbox);
      const result = await this.#execute(place);
      return this.#end(place === "sandbox" ? await this.#retried(result) : result);
    } catch (error) {
      this.#fail(error);
      if (error instanceof Rejection) return error.message;
      throw error;
    }
  }

  /** Whether the policy wants a sandbox that is not there. */
  async #lacksSandbox(): Promise<boolean> {
    if (this.#request.escalated || isOpen(this.#call.config.sandboxPolicy)) return false;
    return (await this.#sandboxedArgv()) === undefined;
  }

  #sandboxedArgv(): Promise<readonly string[] | undefined> {
    const { sandboxPolicy: policy, cwd } = this.#call.config;
    const { argv, workdir } = this.#request;
    return sandboxed(argv, { policy, cwd, workdir, environment: this.#environment });
  }

  #refuseUnsandboxed(): string {
    const { approvalPolicy, sandboxMode } = this.#call.config;
    const hint =
      approvalPolicy === "on-request"
        ? ' To run it without a sandbox, ask for it with sandbox_permissions "require_escalated" and a justification.'
        : "";
    return `command refused: the sandbox mode is ${sandboxMode}, and ${NO_SANDBOX}.${hint}`;
  }

  #begin(): void {
    this.#call.startItem(this.#item({ status: "in_progress" }));
    this.#call.publish({ type: "exec_command_begin", ...this.#about });
  }

  /** Asks where that is due, and says where the command is to run. @throws Rejection */
  async #clear(verdict: Verdict, lacksSandbox: boolean): Promise<Place> {
    const { escalated, justification } = this.#request;
    const isUnsandboxed = escalated || isOpen(this.#call.config.sandboxPolicy) || lacksSandbox;
    const amendment = verdict.kind === "ask" ? verdict.amendment : null;
    const reason = lacksSandbox ? `${NO_SANDBOX}; run the command without one?` : justification;
    if (verdict.kind === "ask" || lacksSandbox)
      await this.#ask({ reason, amendment, place: isUnsandboxed ? "open" : "sandbox" });
    return isUnsandboxed ? "open" : "sandbox";
  }

  async #ask({
    reason,
    amendment,
    place,
  }: {
    reason: string | null;
    amendment: readonly string[] | null;
    place: Place;
  }) {
    const { consents } = this.#call;
    const { argv, workdir } = this.#request;
    const action = JSON.stringify(["exec", argv, workdir, place]);
    if (consents.allows(action)) return;
    const { source: _, ...about } = this.#about;
    const decision = await this.#call.ask({
      type: "exec_approval_request",
      ...about,
      ...(reason === null ? {} : { reason }),
      ...(amendment === null ? {} : { proposed_execpolicy_amendment: [...amendment] }),
    });
    heed(decision, consents, action, REJECTED);
  }

  async #execute(place: Place): Promise<CommandResult> {
    const { call_id } = this.#about;
    const { argv, workdir, timeoutMs } = this.#request;
    const { clock, signal } = this.#call;
    const program = place === "open" ? argv : await this.#sandboxedArgv();
    if (program === undefined) throw new Rejection(`command refused: ${NO_SANDBOX}`);
    signal.throwIfAborted();
    return runCommand(program, {
      cwd: workdir,
      env: withoutSecrets(this.#environment),
      timeoutMs,
      clock,
      signal,
      onOutput: (stream, chunk) =>
        this.#call.publish({ type: "exec_command_output_delta", call_id, stream, chunk: chunk.toString("base64") }),
    });
  }

  /** A command that the sandbox kept from its work may be tried again without, when the policy lets us ask. */
  async #retried(result: CommandResult): Promise<CommandResult> {
    const { approvalPolicy } = this.#call.config;
    if (approvalPolicy === "never" || approvalPolicy === "on-request") return result;
    if (result.ending !== "exited" || !looksDenied(result)) return result;
    await this.#ask({ reason: "command failed; retry without sandbox?", amendment: null, place: "open" });
    return this.#execute("open");
  }

  #end(result: CommandResult): string {
    if (result.ending === "aborted") {
      this.#publishEnd({ ...result, exitCode: -1 }, "aborted by user", "failed");
      throw this.#call.signal.reason;
    }
    this.#publishEnd(result, shownOutput(result), result.exitCode === 0 ? "completed" : "failed");
    return outputForModel(result);
  }

  /** The end of a command that did not run, or not to its end. */
  #fail(error: unknown): void {
    if (this.#hasEnded) return;
    const isRejected = error instanceof Rejection;
    const message =
      !isRejected && this.#call.signal.aborted
        ? "aborted by user"
        : error instanceof Error
          ? error.message
          : String(error);
    const nothing = { stdout: "", stderr: message, aggregated: message, exitCode: -1, durationMs: 0 };
    this.#publishEnd(nothing, message, isRejected ? "declined" : "failed");
  }

  #publishEnd(
    result: Omit<CommandResult, "ending" | "lines" | "omittedBytes">,
    formatted_output: string,
    status: string,
  ): void {
    this.#hasEnded = true;
    const { stdout, stderr, aggregated: aggregated_output, exitCode: exit_code } = result;
    const duration = durationOf(result.durationMs);
    this.#call.completeItem(this.#item({ status, aggregated_output, exit_code, duration }));
    this.#call.publish({
      type: "exec_command_end",
      ...this.#about,
      stdout,
      stderr,
      aggregated_output,
      exit_code,
      duration,
      formatted_output,
    });
  }

  #item(state: Pick<CommandExecutionTurnItem, "status" | "aggregated_output" | "exit_code" | "duration">) {
    const { call_id, command, cwd, parsed_cmd, source } = this.#about;
    return { type: "CommandExecution" as const, id: call_id, command, cwd, parsed_cmd, source, ...state };
  }
}
