/** What a command does, for those who show it: Codex's reading, in its simple cases. */
import type { ParsedCommand } from "../../../protocol/turn-item.ts";
import { type PlainCommand, plainCommands } from "./plain-commands.ts";

/** Behind a pipe these only shape what another command found. */
const FORMATTING = new Set("wc tr cut sort uniq xargs tee column awk yes printf head tail sed".split(" "));

/** Every step of the script, or the whole script as one unknown step. */
export function parsedCommands(script: string): ParsedCommand[] {
  const whole: ParsedCommand = { type: "unknown", cmd: script };
  const commands = plainCommands(script);
  if (commands === undefined) return [whole];
  const steps = withoutIdleSteps(commands);
  const shown = steps.length > 1 ? steps.filter((step) => !isFormatting(step)) : steps;
  return shown.length === 0 ? [whole] : shown.map(describe);
}

/** Newer versions' reading: where a step is not understood, the whole script is one unknown step. */
export function wholeOrParsed(script: string): ParsedCommand[] {
  const steps = parsedCommands(script);
  return steps.some(({ type }) => type === "unknown") ? [{ type: "unknown", cmd: script }] : steps;
}

/** A leading `echo` or `cd` is no step of its own, and `|| true` none at all. */
function withoutIdleSteps(commands: readonly PlainCommand[]): readonly PlainCommand[] {
  let steps = commands.filter(({ words, after }) => !(after === "||" && words.length === 1 && words[0] === "true"));
  while (steps.length > 1 && (steps[0]?.words[0] === "echo" || steps[0]?.words[0] === "cd")) steps = steps.slice(1);
  return steps;
}

const isFormatting = ({ words: [name = ""], after }: PlainCommand): boolean =>
  FORMATTING.has(name) && (after === "|" || name === "printf");

function describe({ words: [name, ...args], text }: PlainCommand): ParsedCommand {
  const operands = args.filter((arg) => !arg.startsWith("-"));
  switch (name) {
    case "ls":
    case "eza":
    case "tree":
      return { type: "list_files", cmd: text, path: lastPart(operands[0]) };
    case "find":
    case "fd": {
      const query = args[args.findIndex((arg) => arg === "-name" || arg === "-iname") + 1];
      return args.some((arg) => arg === "-name" || arg === "-iname")
        ? { type: "search", cmd: text, query: query ?? null, path: lastPart(operands[0]) }
        : { type: "list_files", cmd: text, path: lastPart(operands[0]) };
    }
    case "rg":
    case "grep":
      if (name === "rg" && args.includes("--files"))
        return { type: "list_files", cmd: text, path: lastPart(operands[0]) };
      return { type: "search", cmd: text, query: operands[0] ?? null, path: lastPart(operands[1]) };
    case "cat":
    case "nl":
    case "head":
    case "tail":
    case "sed": {
      const path = readFileOf(name, operands);
      if (path === undefined) break;
      return { type: "read", cmd: text, name: lastPart(path) ?? path, path };
    }
  }
  return { type: "unknown", cmd: text };
}

function readFileOf(name: string, operands: readonly string[]): string | undefined {
  if (name === "sed") return /^\d+(?:,\d+)?p$/.test(operands[0] ?? "") ? operands[1] : undefined;
  const files = name === "cat" ? operands : operands.filter((operand) => !/^\d+$/.test(operand));
  return files.length === 1 ? files[0] : undefined;
}

/** Codex shows the last part of a path that says something. */
function lastPart(path: string | undefined): string | null {
  if (path === undefined) return null;
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return parts.at(-1) ?? path;
}
