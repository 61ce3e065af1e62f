/** Which commands only read, so that they may run without asking under the policy `untrusted`. */
import type { PlainCommand } from "./plain-commands.ts";

type Rule = (args: readonly string[]) => boolean;

const always: Rule = () => true;

const without =
  (...options: readonly string[]): Rule =>
  (args) =>
    !args.some((arg) => options.some((option) => arg === option || arg.startsWith(`${option}=`)));

/** Short options may be joined (`-xn`), so every letter counts. */
const withoutLetters =
  (letters: string): Rule =>
  (args) =>
    !args.some((arg) => /^-[^-]/.test(arg) && [...letters].some((letter) => arg.includes(letter)));

const all =
  (...rules: readonly Rule[]): Rule =>
  (args) =>
    rules.every((rule) => rule(args));

const find = (args: readonly string[]): boolean =>
  !args.some((arg) => /^-(?:exec|execdir|ok|okdir|delete|fls|fprint|fprint0|fprintf|files0-from)$/.test(arg));

/** `sed -n 5p` and `sed -n 1,20p`, with at most one file. */
const sed = (args: readonly string[]): boolean =>
  (args.length === 2 || args.length === 3) &&
  args[0] === "-n" &&
  /^\d+(?:,\d+)?p$/.test(args[1] ?? "") &&
  !(args[2] ?? "").startsWith("-");

const writesFile: Rule = (args) => args.some((arg) => /^(?:-o|--output|--ext-diff|--textconv|--open-files)/.test(arg));

/** The subcommand comes first: an option before it could run another program (`-c core.pager=...`). */
const git = ([subcommand, ...args]: readonly string[]): boolean => {
  if (subcommand === "status") return true;
  if (subcommand === "branch")
    return args.every((arg) => /^(?:--show-current|--list|-[arv]+|--all|--remotes)$/.test(arg));
  return (subcommand === "log" || subcommand === "diff" || subcommand === "show") && !writesFile(args);
};

const SAFE: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...[
    "cat cd cut echo expr false grep head id ls nl paste pwd rev seq stat tail tr true uname wc which whoami",
  ].flatMap((names) => names.split(" ").map((name): [string, Rule] => [name, always])),
  ["uniq", (args) => args.filter((arg) => !arg.startsWith("-")).length <= 1],
  ["base64", all(without("--output"), withoutLetters("o"))],
  ["find", find],
  ["git", git],
  ["rg", all(without("--pre", "--hostname-bin", "--search-zip"), withoutLetters("z"))],
  ["sed", sed],
]);

/** Whether the command is known to change nothing, whatever its arguments. */
export function isKnownSafe({ words: [name, ...args] }: PlainCommand): boolean {
  return name !== undefined && SAFE.get(name)?.(args) === true;
}

/** Commands that lose data when they go wrong: asked about whenever the user can be asked. */
export function mightBeDangerous({ words }: PlainCommand): boolean {
  const [name, ...args] = words[0] === "sudo" ? words.slice(1) : words;
  if (name === "git") return args[0] === "reset" || args[0] === "rm";
  return name === "rm" && args.some((arg) => /^-[a-zA-Z]*f/.test(arg) || arg === "--force");
}
