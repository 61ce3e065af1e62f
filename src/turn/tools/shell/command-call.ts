/** One call of shell_command: its events, its approvals, its sandbox and its process, in this order (SPEC 4.3). */

import { commandEnvironment, type ProcessEnvironment } from "../../../process/clean-environment.ts";
import type { ExecCommandBeginEvent } from "../../../protocol/tool-events.ts";
import type { CommandExecutionTurnItem } from "../../../protocol/turn-item.ts";
import { type CallContext, durationOf, Rejection } from "../call-context.ts";
import { CommandGate, type CommandRequest, type Place } from "./command-gate.ts";
import { outputForModel, shownOutput } from "./command-output.ts";
import { type CommandResult, runCommand } from "./command-run.ts";
import { outputDeltas } from "./output-deltas.ts";

export type ShellRequest = CommandRequest & { readonly timeoutMs: number };

export class CommandCall {
  readonly #call: CallContext;
  readonly #request: ShellRequest;
  readonly #environment: ProcessEnvironment;
  readonly #gate: CommandGate;
  readonly #about: Omit<ExecCommandBeginEvent, "type">;
  #hasEnded = false;

  constructor(call: CallContext, request: ShellRequest, environment: ProcessEnvironment) {
    this.#call = call;
    this.#request = request;
    this.#environment = environment;
    this.#gate = new CommandGate(call, request, environment);
    this.#about = {
      call_id: call.callId,
      turn_id: call.turnId,
      command: [...request.argv],
      cwd: request.workdir,
      parsed_cmd: request.parsed,
      source: "agent",
    };
  }

  async run(): Promise<string> {
    const refusal = await this.#gate.refusal();
    if (refusal !== undefined) return refusal;
    this.#begin();
    try {
      const place = await this.#gate.clear();
      const result = await this.#execute(place);
      const isRetried = result.ending === "exited" && (await this.#gate.clearRetry(place, result));
      return this.#end(isRetried ? await this.#execute("open") : result);
    } catch (error) {
      this.#fail(error);
      if (error instanceof Rejection) return error.message;
      throw error;
    }
  }

  #begin(): void {
    this.#call.startItem(this.#item({ status: "in_progress" }));
    this.#call.publish({ type: "exec_command_begin", ...this.#about });
  }

  async #execute(place: Place): Promise<CommandResult> {
    const { clock, signal } = this.#call;
    const launch = await this.#gate.launch(place, commandEnvironment(this.#environment, this.#call.config));
    return runCommand(launch, {
      timeoutMs: this.#request.timeoutMs,
      clock,
      signal,
      onOutput: outputDeltas(this.#call.callId, (msg) => this.#call.publish(msg)),
    });
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
