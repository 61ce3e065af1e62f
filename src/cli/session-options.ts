/** The options of the commands that run a thread; the program takes them as well, before the command's name. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { HomeOptions } from "../manager/home.ts";
import { BUILT_IN_TOOL_NAMES, type BuiltInToolName } from "../protocol/built-in-tool-names.ts";
import { isPlainName } from "../services/plain-name.ts";
import { UsageError } from "./failure.ts";
import { repeated } from "./global-options.ts";
import { LOG_LEVELS } from "./stderr-log.ts";
import type { Io } from "./terminal/io.ts";

export type SessionOptions = {
  readonly home?: string;
  readonly store?: string;
  readonly model?: string;
  readonly cd?: string;
  readonly sandbox?: "read-only" | "workspace-write" | "danger-full-access";
  readonly askForApproval?: "untrusted" | "on-failure" | "on-request" | "never";
  readonly tools?: readonly BuiltInToolName[];
  readonly addDir?: readonly string[];
  readonly profile?: string;
  readonly config?: readonly string[];
  readonly ephemeral?: boolean;
} & ConfigSwitches;

/** How what config.toml says is taken. */
export type ConfigSwitches = { readonly strictConfig?: boolean; readonly ignoreUserConfig?: boolean };

/** The same, as a home is opened with it. */
export const configSwitches = ({
  strictConfig,
  ignoreUserConfig,
}: ConfigSwitches): Pick<HomeOptions, "unknownSettings" | "userConfig"> => ({
  ...(strictConfig === true && { unknownSettings: "refused" }),
  ...(ignoreUserConfig === true && { userConfig: "ignored" }),
});

export const logLevelOption = (): Option =>
  new Option("--log-level <level>", "what is logged to standard error, as JSON lines")
    .choices(LOG_LEVELS)
    .default("warn");

/** `--profile`: a plain name, as Codex asks for since 0.171. */
export const profileOption = (): Option =>
  new Option("-p, --profile <name>", "a profile: NAME.config.toml of the home, or [profiles.NAME]").argParser(
    (name) => {
      if (isPlainName(name)) return name;
      throw new InvalidArgumentError(`invalid --profile value \`${name}\`; pass a plain name such as \`work\``);
    },
  );

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
        "on-failure",
        "on-request",
        "never",
      ]),
    )
    .addOption(new Option("--full-auto", "taken for Codex's sake: --sandbox workspace-write").hideHelp())
    .addOption(
      new Option("--yolo", "never ask, and run commands without a sandbox").implies({
        sandbox: "danger-full-access",
        askForApproval: "never",
      }),
    )
    .addOption(
      new Option("--dangerously-bypass-approvals-and-sandbox", "the same as --yolo")
        .implies({ sandbox: "danger-full-access", askForApproval: "never" })
        .hideHelp(),
    )
    .option("--add-dir <dir>", "a further folder to write in, with --sandbox workspace-write; repeatable", repeated)
    .addOption(profileOption())
    .addOption(
      new Option("--approve-for-me", "taken for Codex's sake: nobody but you approves")
        .implies({ sandbox: "workspace-write", askForApproval: "on-request" })
        .hideHelp(),
    )
    .addOption(new Option("--oss", "taken for Codex's sake: -c model_provider=ollama").hideHelp())
    .addOption(new Option("--local-provider <name>", "taken for Codex's sake: which one --oss means").hideHelp())
    .addOption(new Option("--search", "taken for Codex's sake: no tool of the house searches the web").hideHelp())
    .addOption(new Option("--no-alt-screen", "taken for Codex's sake").hideHelp())
    .addOption(new Option("--dangerously-bypass-hook-trust", "taken for Codex's sake: there are no hooks").hideHelp());

/** The images of a prompt: the option may be given more than once, and may name several with commas between them. */
export const imageOption = (): Option =>
  new Option("-i, --image <file>", "show this image too; may be repeated").argParser(
    (text: string, before: readonly string[] = []): readonly string[] => [...before, ...text.split(",")],
  );

/** The tools by name: an option that takes several words, and so stands after the command's name alone. */
export const withTools = (command: Command): Command =>
  command.addOption(new Option("--tools <name...>", "tools that the agent gets").choices(BUILT_IN_TOOL_NAMES));

/** The settings that the options of a session stand for, as `-c` would give them. */
export const settingsOfOptions = ({
  model,
  sandbox,
  askForApproval,
  config = [],
}: SessionOptions): readonly string[] => [
  ...config,
  ...(model === undefined ? [] : [`model=${JSON.stringify(model)}`]),
  ...(sandbox === undefined ? [] : [`sandbox_mode="${sandbox}"`]),
  ...(askForApproval === undefined ? [] : [`approval_policy="${askForApproval}"`]),
];

/** The folder that `--cd` names. @throws UsageError where there is none */
export function workFolder({ cd = "" }: Pick<SessionOptions, "cd">, io: Pick<Io, "cwd">): string {
  const folder = resolve(io.cwd(), cd);
  if (cd === "" || statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return folder;
  throw new UsageError(`--cd: there is no folder ${folder}`);
}

/** Reads an option's number. */
export const wholeNumber =
  ({ min, max }: { min: number; max: number }) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
