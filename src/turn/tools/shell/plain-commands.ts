/**
 * Reads a shell script that does nothing but run commands one after another: words, quotes, and `&&`, `||`, `;`, `|` or
 * line ends between the commands. Whatever else the shell could do (expansions, redirections, substitutions, subshells,
 * jobs, comments, assignments) makes the script not plain, so that what is read here is exactly what runs.
 */

export type PlainCommand = {
  readonly words: readonly string[];
  /** The command as it was written. */
  readonly text: string;
  /** What stands before it; undefined for the first. */
  readonly after: Operator | undefined;
};

type Operator = "&&" | "||" | ";" | "|";

/** Unquoted, any of these means more than itself. */
const SPECIAL = /[$`\\<>(){}[\]*?!~#^&]/;
const SPECIAL_IN_QUOTES = /[$`\\!]/;
const ASSIGNMENT = /^[A-Za-z_][A-Za-z0-9_]*\+?=/;

/** The commands of a plain script, in order; undefined for any other script. */
export function plainCommands(script: string): PlainCommand[] | undefined {
  const commands: PlainCommand[] = [];
  let after: Operator | undefined;
  let words: string[] = [];
  let start = 0;
  let at = 0;
  const close = (end: number): boolean => {
    const [first] = words;
    if (first === undefined || ASSIGNMENT.test(first)) return false;
    commands.push({ words, text: script.slice(start, end).trim(), after });
    words = [];
    return true;
  };
  while (at < script.length) {
    if (script[at] === " " || script[at] === "\t") {
      at += 1;
      continue;
    }
    const operator = operatorAt(script, at);
    if (operator === undefined) {
      const word = readWord(script, at);
      if (word === undefined) return undefined;
      words.push(word.text);
      at = word.end;
      continue;
    }
    const isBlankLine = script[at] === "\n" && words.length === 0 && (after === ";" || after === undefined);
    if (!isBlankLine) {
      if (!close(at)) return undefined;
      after = operator;
    }
    at += script[at] === "\n" ? 1 : operator.length;
    start = at;
  }
  if (words.length > 0) return close(script.length) ? commands : undefined;
  return commands.length > 0 && after === ";" ? commands : undefined;
}

function operatorAt(script: string, at: number): Operator | undefined {
  const pair = script.slice(at, at + 2);
  if (pair === "&&" || pair === "||") return pair;
  if (script[at] === "|" && pair !== "|&") return "|";
  return script[at] === ";" || script[at] === "\n" ? ";" : undefined;
}

/** One word, its quotes removed; undefined when the shell would make something else of it. */
function readWord(script: string, from: number): { text: string; end: number } | undefined {
  let text = "";
  let at = from;
  while (at < script.length) {
    const char = script[at] as string;
    if (char === " " || char === "\t" || operatorAt(script, at) !== undefined) break;
    if (char === "'" || char === '"') {
      const end = script.indexOf(char, at + 1);
      if (end === -1) return undefined;
      const quoted = script.slice(at + 1, end);
      if (char === '"' && SPECIAL_IN_QUOTES.test(quoted)) return undefined;
      text += quoted;
      at = end + 1;
      continue;
    }
    if (SPECIAL.test(char) || char === "|" || char === "\r") return undefined;
    text += char;
    at += 1;
  }
  return { text, end: at };
}
