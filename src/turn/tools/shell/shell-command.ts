import { resolve } from "node:path";
import * as z from "zod";
import type { ProcessEnvironment } from "../../../process/clean-environment.ts";
import type { BuiltInTool } from "../built-in-tool.ts";
import type { CallContext } from "../call-context.ts";
import { CommandCall, type ShellRequest } from "./command-call.ts";
import { parsedCommands } from "./parsed-command.ts";
import { runScript } from "./script-call.ts";
import { USER_SHELL } from "./user-shell.ts";

/** Codex's default. */
const TIMEOUT_MS = 10_000;

const argumentsSchema = z.looseObject({
  command: z.string(),
  workdir: z.string().nullish(),
  timeout_ms: z.number().positive().nullish(),
  login: z.boolean().nullish(),
  sandbox_permissions: z.enum(["use_default", "require_escalated"]).nullish(),
  justification: z.string().nullish(),
});

/** Codex's `shell_command`. */
export function shellCommand(environment: ProcessEnvironment): BuiltInTool {
  return {
    spec: SPEC,
    async run(call) {
      const request = requestOf(call);
      const run = () => new CommandCall(call, request, environment).run();
      return runScript(call, request, { environment, queue: "exclusively", run });
    },
  };
}

function requestOf(call: CallContext): ShellRequest {
  const given = call.argumentsAs(argumentsSchema);
  return {
    script: given.command,
    parsed: parsedCommands(given.command),
    argv: [USER_SHELL, given.login === false ? "-c" : "-lc", given.command],
    workdir: resolve(call.config.cwd, given.workdir ?? "."),
    timeoutMs: given.timeout_ms ?? TIMEOUT_MS,
    escalated: given.sandbox_permissions === "require_escalated",
    justification: given.justification ?? null,
  };
}

const text = (description: string) => ({ type: "string", description });

const SPEC: BuiltInTool["spec"] = {
  type: "function",
  name: "shell_command",
  description:
    "Runs a shell script to its end and gives its output and exit code. Say where by `workdir`, rather than by a `cd` in the script.",
  strict: false,
  parameters: {
    type: "object",
    properties: {
      command: text("The script, for the user's own shell."),
      justification: text("With `require_escalated` only: the question to put to the user, in one sentence."),
      login: {
        type: "boolean",
        description: "Whether the shell is a login shell. Defaults to true.",
      },
      sandbox_permissions: text(
        "`require_escalated` asks the user to let it run outside the sandbox; `use_default` is the default.",
      ),
      timeout_ms: { type: "number", description: "Milliseconds after which it is ended. Defaults to 10000." },
      workdir: text("The folder to run in. Defaults to the thread's own."),
    },
    required: ["command"],
    additionalProperties: false,
  },
};
