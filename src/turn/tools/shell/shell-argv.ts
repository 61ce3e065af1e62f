import * as z from "zod";
import type { ProcessEnvironment } from "../../../process/clean-environment.ts";
import type { BuiltInTool } from "../built-in-tool.ts";
import { shellCommand } from "./shell-command.ts";

const argumentsSchema = z.looseObject({ command: z.array(z.string()).min(1) });

/** Codex's older `shell`, whose command is a list of words: run as a script by the rules of shell_command. */
export function shellArgv(environment: ProcessEnvironment): BuiltInTool {
  const shell = shellCommand(environment);
  return {
    spec: { ...shell.spec, name: "shell" },
    async run(call) {
      const { command, ...rest } = call.argumentsAs(argumentsSchema);
      return shell.run(call.withArguments({ ...rest, ...scriptOf(command) }));
    },
  };
}

/** `bash -lc SCRIPT` is the script itself; any other words are quoted. */
function scriptOf(command: readonly string[]): { command: string; login: boolean } {
  const [program = "", option, script] = command;
  if (
    command.length === 3 &&
    script !== undefined &&
    /(?:^|\/)(?:ba|z)?sh$/.test(program) &&
    /^-l?c$/.test(option ?? "")
  )
    return { command: script, login: option === "-lc" };
  return { command: command.map(quoted).join(" "), login: false };
}

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
