/**
 * A command that the user runs in the thread (`!cmd` in the TUI): with full access, without a question, told as an item of
 * a turn, and made known to the model by a user message that starts no turn.
 */
import { linkSignals, raceAbort } from "../kernel/cancellation.ts";
import { commandEnvironment } from "../process/clean-environment.ts";
import { newItemId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import { type ResponseItem, userMessage } from "../protocol/response-item.ts";
import type { ExecCommandBeginEvent } from "../protocol/tool-events.ts";
import type { CommandExecutionTurnItem } from "../protocol/turn-item.ts";
import { recordItem } from "./announcement.ts";
import { truncateMiddle } from "./tool-output.ts";
import { durationOf } from "./tools/call-context.ts";
import { runCommand } from "./tools/shell/command-run.ts";
import { outputDeltas } from "./tools/shell/output-deltas.ts";
import { wholeOrParsed } from "./tools/shell/parsed-command.ts";
import { USER_SHELL } from "./tools/shell/user-shell.ts";
import type { TurnHost } from "./turn-host.ts";
import type { TurnRun } from "./turn-run.ts";

/** Codex's: an hour. */
const TIMEOUT_MS = 3_600_000;

type Outcome = {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly output: string;
  readonly omittedBytes: number;
  readonly durationMs: number;
};

/** The turn's own work: the command that the turn was asked for. */
export async function runOwnShell(host: TurnHost, run: TurnRun): Promise<void> {
  const op = host.intake.inbox.take(run.id)?.op;
  const asked = op === undefined ? undefined : askedCommand(op);
  if (asked === undefined) return;
  host.intake.noteTaken(run.id);
  // Nobody is to run it a second time.
  if (run.config.recovery === "continue") await host.storage.flush();
  await runUserShell(host, run, { ...asked, record: (message) => recordItem(host, run.id, message) });
}

export type AskedCommand = { readonly command: string; readonly timeoutMs: number };

/** What the op asks to be run; undefined for another op. */
export function askedCommand(op: Op): AskedCommand | undefined {
  if (op.type !== "run_user_shell_command" || typeof op.command !== "string") return undefined;
  return { command: op.command, timeoutMs: typeof op.timeout_ms === "number" ? op.timeout_ms : TIMEOUT_MS };
}

/**
 * Runs a command in a turn, or beside its work. It does not hold the turn up; an interrupt of the turn ends it, and after
 * the turn's end one of the thread, or the thread's own end.
 */
export function runUserShell(
  host: TurnHost,
  run: TurnRun,
  { command, timeoutMs, record }: AskedCommand & { record: (message: ResponseItem) => void },
): Promise<void> {
  const work = host.terminals.attend(async (ended) => {
    using either = linkSignals(run.signal, ended);
    const about = aboutOf(run, command);
    host.publish(run.id, {
      type: "item_started",
      ...placeOf(host, run),
      item: itemOf(about, { status: "in_progress" }),
    });
    host.publish(run.id, { type: "exec_command_begin", ...about });
    const outcome = await outcomeOf(host, run, { about, timeoutMs, signal: either.signal });
    tellEnd(host, run, { about, outcome });
    record(messageOf(command, outcome));
  });
  run.beside.add(work);
  void work.finally(() => run.beside.delete(work));
  return work;
}

type About = Omit<ExecCommandBeginEvent, "type">;

const aboutOf = (run: TurnRun, command: string): About => ({
  call_id: newItemId(),
  turn_id: run.turnId,
  command: [USER_SHELL, "-lc", command],
  cwd: run.config.cwd,
  parsed_cmd: wholeOrParsed(command),
  source: "user_shell",
});

const placeOf = ({ threadId }: TurnHost, { turnId }: TurnRun) => ({ thread_id: threadId, turn_id: turnId });

/** An abort is answered at once, while the command is being ended. */
async function outcomeOf(
  host: TurnHost,
  run: TurnRun,
  { about, timeoutMs, signal }: { about: About; timeoutMs: number; signal: AbortSignal },
): Promise<Outcome> {
  try {
    const env = commandEnvironment(host.env.commandEnvironment, run.config);
    const running = runCommand(
      { argv: about.command, cwd: about.cwd, env },
      {
        timeoutMs,
        clock: host.clock,
        signal,
        onOutput: outputDeltas(about.call_id, (msg) => host.publish(run.id, msg)),
      },
    );
    const { aggregated, ...result } = await raceAbort(running, signal);
    return { ...result, output: aggregated };
  } catch (error) {
    const output = signal.aborted ? "command aborted by user" : `execution error: ${(error as Error).message}`;
    return { exitCode: -1, stdout: "", stderr: output, output, omittedBytes: 0, durationMs: 0 };
  }
}

function tellEnd(host: TurnHost, run: TurnRun, { about, outcome }: { about: About; outcome: Outcome }): void {
  const { exitCode: exit_code, stdout, stderr, output, omittedBytes } = outcome;
  const duration = durationOf(outcome.durationMs);
  const status = exit_code === 0 ? "completed" : "failed";
  const state = { status, aggregated_output: output, exit_code, duration };
  host.publish(run.id, { type: "item_completed", ...placeOf(host, run), item: itemOf(about, state) });
  host.publish(run.id, {
    type: "exec_command_end",
    ...about,
    ...{ stdout, stderr, aggregated_output: output, exit_code, duration },
    formatted_output: truncateMiddle(output, omittedBytes),
  });
}

function itemOf(
  { call_id, command, cwd, parsed_cmd, source }: About,
  state: Pick<CommandExecutionTurnItem, "status" | "aggregated_output" | "exit_code" | "duration">,
): CommandExecutionTurnItem {
  return { type: "CommandExecution", id: call_id, command, cwd, parsed_cmd, source, ...state };
}

/** It counts as no user message (SPEC 6.1). */
function messageOf(command: string, { exitCode, durationMs, output, omittedBytes }: Outcome): ResponseItem {
  const text = [
    "<user_shell_command>",
    ...["<command>", command, "</command>"],
    "<result>",
    `Exit code: ${exitCode}`,
    `Duration: ${(durationMs / 1000).toFixed(4)} seconds`,
    "Output:",
    truncateMiddle(output, omittedBytes),
    "</result>",
    "</user_shell_command>",
  ].join("\n");
  return userMessage(text);
}
