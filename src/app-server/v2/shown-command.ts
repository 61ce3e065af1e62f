/** Commands as v2 shows them: as a line for a shell, and as what they do. Pure. */
import { resolve } from "node:path";
import type { ParsedCommand } from "../../protocol/turn-item.ts";

/** Ways to write a part of a word: what each can take, best first. A shell takes the parts together as one word. */
const QUOTINGS: readonly { readonly takes: RegExp; readonly write: (part: string) => string }[] = [
  { takes: /^[+\-./:@\]_0-9A-Za-z]+/, write: (part) => part },
  { takes: /^(?:\^[^'\\^]*|[^'\\^]+)/, write: (part) => `'${part}'` },
  { takes: /^[^$`!^]+/, write: (part) => `"${part.replaceAll(/["\\]/g, "\\$&")}"` },
];

/** As a shell would take it: each part of a word in the quotes that take most of what is left. */
export const commandLine = (command: readonly string[]): string => command.map(quoted).join(" ");

function quoted(word: string): string {
  let line = word === "" ? "''" : "";
  for (let rest = word; rest !== ""; ) {
    const parts = QUOTINGS.map(({ takes, write }) => ({ part: takes.exec(rest)?.[0] ?? "", write }));
    const best = parts.reduce((longest, each) => (each.part.length > longest.part.length ? each : longest));
    line += best.write(best.part);
    rest = rest.slice(best.part.length);
  }
  return line;
}

type Command = { command: readonly string[]; cwd: string; parsed_cmd: readonly ParsedCommand[] };

/** What the command does; a command of which any step is unknown is one unknown step as a whole, as 0.169 tells it. */
export function commandActions({ command, cwd, parsed_cmd: steps }: Command): Record<string, unknown>[] {
  if (steps.some(({ type }) => !KNOWN.has(type))) return [{ type: "unknown", command: scriptOf(command) }];
  const actions = steps.map((step) => actionToV2(step, cwd));
  return actions.filter((action, at) => JSON.stringify(action) !== JSON.stringify(actions[at - 1]));
}

const KNOWN: ReadonlySet<string> = new Set(["read", "list_files", "search"]);

function actionToV2(step: ParsedCommand, cwd: string): Record<string, unknown> {
  const { cmd: command } = step;
  switch (step.type) {
    case "read":
      return {
        type: "read",
        command,
        name: step.name ?? "",
        path: typeof step.path === "string" ? resolve(cwd, step.path) : "",
      };
    case "list_files":
      return { type: "listFiles", command, path: step.path ?? null };
    case "search":
      return { type: "search", command, query: step.query ?? null, path: step.path ?? null };
    default:
      return { type: "unknown", command };
  }
}

/** The script that a shell was given, or the command itself. */
export function scriptOf(command: readonly string[]): string {
  const [, option, script] = command;
  return command.length === 3 && script !== undefined && /^-l?c$/.test(option ?? "") ? script : commandLine(command);
}
