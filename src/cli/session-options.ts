/** The options of the commands that run a thread. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { BUILT_IN_TOOL_NAMES, type BuiltInToolName } from "../protocol/built-in-tool-names.ts";

export type SessionOptions = {
  readonly home?: string;
  readonly model?: string;
  readonly cd?: string;
  readonly sandbox?: "read-only" | "workspace-write" | "danger-full-access";
  readonly askForApproval?: "untrusted" | "on-request" | "never";
  readonly tools?: readonly BuiltInToolName[];
  readonly addDir?: readonly string[];
  readonly profile?: string;
  readonly config?: readonly string[];
};

export const withSessionOptions = (command: Command): Command =>
  command
    .option("-m, --model <model>", "the model to ask")
    .option("-C, --cd <dir>", "the folder that the agent works in")
    .addOption(
      new Option("-s, --sandbox <mode>", "what commands of the agent may touch").choices([
        "read-only",
        "workspace-write",
        "danger-full-access",
      ]),
    )
    .addOption(
      new Option("-a, --ask-for-approval <policy>", "when you are asked before a command runs").choices([
        "untrusted",
        "on-request",
        "never",
      ]),
    )
    .addOption(new Option("--tools <name...>", "tools that the agent gets").choices(BUILT_IN_TOOL_NAMES))
    .option("-p, --profile <name>", "a profile of config.toml")
    .option("-c, --config <key=value>", "a setting over config.toml's; may be repeated", repeated);

/** Reads an option's number. */
export const wholeNumber =
  ({ min, max }: { min: number; max: number }) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };

/** Gathers an option that may be given more than once. */
export const repeated = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];
