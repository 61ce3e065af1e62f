import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import * as z from "zod";
import { InvalidRequestError } from "../../../protocol/errors.ts";
import type { BuiltInTool } from "../built-in-tool.ts";
import type { CallContext } from "../call-context.ts";
import type { ProcessEnvironment } from "../clean-environment.ts";
import { runPatch } from "../patch/patch-call.ts";
import { patchInScript } from "../patch/patch-script.ts";
import { CommandCall, type ShellRequest } from "./command-call.ts";
import { parsedCommands } from "./parsed-command.ts";
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
      const patch = patchInScript(request.script);
      if (patch !== undefined) {
        const cwd = resolve(request.workdir, patch.folder ?? ".");
        return call.exclusively(() => runPatch(call, { text: patch.text, cwd, environment }));
      }
      return call.exclusively(async () => {
        await requireFolder(request.workdir);
        return new CommandCall(call, request, environment).run();
      });
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

/** A missing folder would look like a missing shell. */
async function requireFolder(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() !== true) throw new InvalidRequestError(`workdir is not a folder: ${path}`);
}

const text = (description: string) => ({ type: "string", description });

const SPEC: BuiltInTool["spec"] = {
  type: "function",
  name: "shell_command",
  description:
    "Runs a shell command and returns its output.\n- Always set the `workdir` param when using the shell_command function. Do not use `cd` unless absolutely necessary.",
  strict: false,
  parameters: {
    type: "object",
    properties: {
      command: text("The shell script to execute in the user's default shell"),
      justification: text(
        'Only set if sandbox_permissions is "require_escalated". 1-sentence explanation of why we want to run this command.',
      ),
      login: {
        type: "boolean",
        description: "Whether to run the shell with login shell semantics. Defaults to true.",
      },
      sandbox_permissions: text(
        'Sandbox permissions for the command. Set to "require_escalated" to request running without sandbox restrictions; defaults to "use_default".',
      ),
      timeout_ms: { type: "number", description: "The timeout for the command in milliseconds" },
      workdir: text("The working directory to execute the command in"),
    },
    required: ["command"],
    additionalProperties: false,
  },
};
