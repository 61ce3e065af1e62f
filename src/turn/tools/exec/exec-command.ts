import { resolve } from "node:path";
import * as z from "zod";
import type { ProcessEnvironment } from "../../../process/clean-environment.ts";
import type { BuiltInTool } from "../built-in-tool.ts";
import type { CallContext } from "../call-context.ts";
import { wholeOrParsed } from "../shell/parsed-command.ts";
import { runScript } from "../shell/script-call.ts";
import { shellNamed } from "../shell/user-shell.ts";
import { ExecCall, type ExecRequest } from "./exec-call.ts";

/** Codex's. */
const YIELD = { default: 10_000, least: 250, most: 30_000 };

const argumentsSchema = z.looseObject({
  cmd: z.string(),
  workdir: z.string().nullish(),
  shell: z.string().nullish(),
  login: z.boolean().nullish(),
  tty: z.boolean().nullish(),
  yield_time_ms: z.number().nonnegative().nullish(),
  max_output_tokens: z.number().nonnegative().nullish(),
  sandbox_permissions: z.enum(["use_default", "require_escalated"]).nullish(),
  justification: z.string().nullish(),
  prefix_rule: z.array(z.string()).nullish(),
});

/** Codex's `exec_command`: a command that may go on behind the call. Calls run side by side. */
export function execCommand(environment: ProcessEnvironment): BuiltInTool {
  return {
    spec: SPEC,
    async run(call) {
      const request = requestOf(call);
      const run = () => new ExecCall(call, request, environment).run();
      return runScript(call, request, { environment, queue: "sideBySide", run });
    },
  };
}

function requestOf(call: CallContext): ExecRequest {
  const given = call.argumentsAs(argumentsSchema);
  return {
    script: given.cmd,
    parsed: wholeOrParsed(given.cmd),
    argv: [shellNamed(given.shell), given.login === false ? "-c" : "-lc", given.cmd],
    workdir: resolve(call.config.cwd, given.workdir ?? "."),
    escalated: given.sandbox_permissions === "require_escalated",
    justification: given.justification ?? null,
    prefixRule: given.prefix_rule ?? undefined,
    terminal: given.tty === true ? "pty" : "pipes",
    yieldMs: Math.min(Math.max(given.yield_time_ms ?? YIELD.default, YIELD.least), YIELD.most),
    maxOutputTokens: given.max_output_tokens,
  };
}

const text = (description: string) => ({ type: "string", description });
const number = (description: string) => ({ type: "number", description });
const flag = (description: string) => ({ type: "boolean", description });

const SPEC: BuiltInTool["spec"] = {
  type: "function",
  name: "exec_command",
  description:
    "Runs a shell command. Gives its output and exit code when it ends in time, else a session ID to go on with by write_stdin.",
  strict: false,
  parameters: {
    type: "object",
    properties: {
      cmd: text("The shell script to run."),
      justification: text("With `require_escalated` only: the question to put to the user, in one sentence."),
      login: flag("Whether the shell is a login shell. Defaults to true."),
      max_output_tokens: number(
        "How many tokens of output to give at most. Defaults to 10000, which is also the most.",
      ),
      prefix_rule: {
        type: "array",
        items: { type: "string" },
        description:
          'With `require_escalated` only: the first words of `cmd` that the user may allow from now on, such as ["git", "pull"].',
      },
      sandbox_permissions: {
        type: "string",
        enum: ["use_default", "require_escalated"],
        description: "`require_escalated` asks to run the command without the sandbox. Defaults to `use_default`.",
      },
      shell: text("The shell to run it in. Defaults to the user's."),
      tty: flag(
        "Whether to give the command a pseudo-terminal, so that write_stdin can type into it. Defaults to false.",
      ),
      workdir: text("The folder to run it in. Defaults to the turn's."),
      yield_time_ms: number("How long to wait for its end: 250 to 30000 ms. Defaults to 10000."),
    },
    required: ["cmd"],
    additionalProperties: false,
  },
};
