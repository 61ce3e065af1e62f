import * as z from "zod";
import { elapsedBy } from "../../../kernel/clock.ts";
import { InvalidRequestError } from "../../../protocol/errors.ts";
import type { EventMsg } from "../../../protocol/event.ts";
import type { BuiltInTool } from "../built-in-tool.ts";
import type { CallContext } from "../call-context.ts";
import type { Terminal } from "./terminal.ts";
import { answerFor } from "./terminal-output.ts";

/** Codex's: for typing, and for a look without a word. */
const TYPED = { default: 250, least: 250, most: 30_000 };
const LOOK = { default: 5_000, least: 5_000, most: 300_000 };

const argumentsSchema = z.looseObject({
  session_id: z.int(),
  chars: z.string().nullish(),
  yield_time_ms: z.number().nonnegative().nullish(),
  max_output_tokens: z.number().nonnegative().nullish(),
});

/** Codex's `write_stdin`: types into a command of exec_command, or only looks what has come of it. */
export const writeStdin: BuiltInTool = {
  spec: {
    type: "function",
    name: "write_stdin",
    description: "Types into a running session of exec_command, and gives what it has written since the last look.",
    strict: false,
    parameters: {
      type: "object",
      properties: {
        chars: { type: "string", description: "What to type. Defaults to nothing: then it only waits and looks." },
        max_output_tokens: {
          type: "number",
          description: "How many tokens of output to give at most. Defaults to 10000, which is also the most.",
        },
        session_id: { type: "number", description: "The session's ID." },
        yield_time_ms: {
          type: "number",
          description:
            "How long to wait: after typing 250 to 30000 ms, by default 250; for a look 5000 to 300000 ms, by default 5000. It ends with the command.",
        },
      },
      required: ["session_id"],
      additionalProperties: false,
    },
  },
  run: (call) => call.sideBySide(() => look(call)),
};

async function look(call: CallContext): Promise<string> {
  const { session_id, chars, yield_time_ms, max_output_tokens: maxOutputTokens } = call.argumentsAs(argumentsSchema);
  const { clock, signal, terminals } = call;
  const terminal = terminals.get(session_id);
  if (terminal === undefined) throw new InvalidRequestError(`write_stdin failed: Unknown process id ${session_id}`);
  const typed = chars ?? "";
  const wasRunning = terminal.exitCode === undefined;
  if (typed !== "" && wasRunning && !terminal.write(typed)) throw new InvalidRequestError(CLOSED);
  const range = typed === "" ? LOOK : TYPED;
  const startedAt = elapsedBy(clock);
  terminal.noteUse(startedAt);
  const waitMs = Math.min(Math.max(yield_time_ms ?? range.default, range.least), range.most);
  const interaction = interactionOf(terminal, typed);
  try {
    await terminal.settle(waitMs, signal, () => call.publish(interaction));
  } catch (error) {
    if (!signal.aborted) throw error;
    return `aborted by user after ${((elapsedBy(clock) - startedAt) / 1000).toFixed(1)}s`;
  }
  if (terminal.exitCode === undefined) call.publish(interaction);
  else terminals.forget(terminal);
  return answerFor({ terminal, waitedMs: elapsedBy(clock) - startedAt, maxOutputTokens });
}

const interactionOf = ({ callId: call_id, id }: Terminal, stdin: string): EventMsg => ({
  type: "terminal_interaction",
  call_id,
  process_id: String(id),
  stdin,
});

const CLOSED =
  "write_stdin failed: stdin is closed for this session; rerun exec_command with tty=true to keep stdin open";
