/** One call of exec_command: the user's word, the process, its events, and the first look at its output. */

import { elapsedBy } from "../../../kernel/clock.ts";
import { commandEnvironment, type ProcessEnvironment } from "../../../process/clean-environment.ts";
import { CommandProcess } from "../../../process/command-process.ts";
import type { Launch } from "../../../process/launch.ts";
import { loadPty, type PtyLibrary, PtyProcess } from "../../../process/pty-process.ts";
import { terminalLaunch } from "../../../process/terminal-launch.ts";
import type { ExecCommandBeginEvent } from "../../../protocol/tool-events.ts";
import type { CommandExecutionTurnItem } from "../../../protocol/turn-item.ts";
import { type CallContext, durationOf, Rejection } from "../call-context.ts";
import { CommandGate, type CommandRequest, type Place } from "../shell/command-gate.ts";
import { outputDeltas } from "../shell/output-deltas.ts";
import { Terminal } from "./terminal.ts";
import { answerFor } from "./terminal-output.ts";

export type ExecRequest = CommandRequest & {
  /** What the command is to find at its standard streams. */
  readonly terminal: "pty" | "pipes";
  readonly yieldMs: number;
  readonly maxOutputTokens: number | null | undefined;
};

/** For programs that look at whether somebody reads along: nobody pages, and nothing is coloured. */
const PLAIN = {
  ...{ TERM: "dumb", COLORTERM: "", NO_COLOR: "1" },
  ...{ PAGER: "cat", GIT_PAGER: "cat", GH_PAGER: "cat" },
  ...{ LANG: "C.UTF-8", LC_ALL: "C.UTF-8", LC_CTYPE: "C.UTF-8" },
};

export class ExecCall {
  readonly #call: CallContext;
  readonly #request: ExecRequest;
  readonly #environment: ProcessEnvironment;

  constructor(call: CallContext, request: ExecRequest, environment: ProcessEnvironment) {
    this.#call = call;
    this.#request = request;
    this.#environment = environment;
  }

  /** Answers when the command has ended, or it is time to yield. An abort leaves the command running. */
  async run(): Promise<string> {
    const gate = new CommandGate(this.#call, this.#request, this.#environment);
    const refusal = await gate.refusal();
    if (refusal !== undefined) return refusal;
    try {
      const place = await gate.clear();
      const first = await this.#look(gate, place);
      const { exitCode, output } = first.terminal;
      const isRetried =
        exitCode !== undefined && (await gate.clearRetry(place, { exitCode, aggregated: output.aggregated }));
      return answerFor(isRetried ? await this.#look(gate, "open") : first);
    } catch (error) {
      if (error instanceof Rejection) return `exec_command failed: ${error.message}`;
      throw error;
    }
  }

  async #look(gate: CommandGate, place: Place) {
    const { clock, signal, terminals } = this.#call;
    const { yieldMs, maxOutputTokens } = this.#request;
    const pty = this.#request.terminal === "pty" ? await loadPty() : undefined;
    const launch = await gate.launch(place, { ...commandEnvironment(this.#environment, this.#call.config), ...PLAIN });
    const terminal = this.#start(pty === undefined ? launch : await terminalLaunch(launch), pty);
    const startedAt = elapsedBy(clock);
    await terminal.settle(yieldMs, signal);
    if (terminal.exitCode !== undefined) terminals.forget(terminal);
    return { terminal, waitedMs: elapsedBy(clock) - startedAt, maxOutputTokens };
  }

  /** @throws the signal's reason, or what cannot be started; the launch is then let go of */
  #start(launch: Launch, pty: PtyLibrary | undefined): Terminal {
    const call = this.#call;
    const { callId, clock } = call;
    if (call.signal.aborted) launch.release?.();
    call.signal.throwIfAborted();
    const { script, workdir: cwd } = this.#request;
    const terminal = call.terminals.open(
      (id) =>
        new Terminal({
          ...{ id, callId, clock, script, cwd },
          start: (onOutput) => {
            const options = { clock, onOutput };
            return pty === undefined ? new CommandProcess(launch, options) : new PtyProcess(pty, launch, options);
          },
          onOutput: outputDeltas(callId, (msg) => call.publishAlways(msg)),
        }),
    );
    const about = this.#about(terminal);
    call.startItem(itemOf(about, { status: "in_progress" }));
    call.publish({ type: "exec_command_begin", ...about });
    terminal.ended.then(
      () => this.#tellEnd(terminal, about),
      (error: Error) => this.#tellEnd(terminal, about, error.message),
    );
    return terminal;
  }

  #about(terminal: Terminal): Omit<ExecCommandBeginEvent, "type"> {
    return {
      call_id: this.#call.callId,
      process_id: String(terminal.id),
      turn_id: this.#call.turnId,
      command: [...this.#request.argv],
      cwd: this.#request.workdir,
      parsed_cmd: this.#request.parsed,
      source: "unified_exec_startup",
    };
  }

  /** The end may come long after the turn's. */
  #tellEnd(terminal: Terminal, about: Omit<ExecCommandBeginEvent, "type">, failure?: string): void {
    const { stdout, stderr, aggregated } = terminal.output;
    const aggregated_output = failure ?? aggregated;
    const exit_code = terminal.exitCode ?? -1;
    const duration = durationOf(terminal.durationMs);
    const status = exit_code === 0 ? "completed" : "failed";
    this.#call.publishAlways({
      type: "item_completed",
      thread_id: this.#call.threadId,
      turn_id: this.#call.turnId,
      item: itemOf(about, { status, aggregated_output, exit_code, duration }),
    });
    this.#call.publishAlways({
      type: "exec_command_end",
      ...about,
      ...{ stdout, stderr: failure ?? stderr, aggregated_output, exit_code, duration },
      formatted_output: aggregated_output,
    });
  }
}

function itemOf(
  { call_id, command, cwd, parsed_cmd, source, process_id }: Omit<ExecCommandBeginEvent, "type">,
  state: Pick<CommandExecutionTurnItem, "status" | "aggregated_output" | "exit_code" | "duration">,
): CommandExecutionTurnItem {
  return { type: "CommandExecution", id: call_id, process_id, command, cwd, parsed_cmd, source, ...state };
}
