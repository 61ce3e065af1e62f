/** Rollouts with something done to them as files: lines lost, doubled, moved, joined or of another form, and bytes that are no text. */

import { kindOfLine } from "./rollout-mutations.ts";

export type DamagedText = { readonly name: string; readonly textOf: (lines: readonly string[]) => Buffer };

const OTHER_TYPES = ["session_meta", "response_item", "event_msg", "turn_context", "compacted", "of_tomorrow"];
const FILE_ID = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;

type Line = Readonly<Record<string, unknown>>;
const parsed = (line: string): Line => JSON.parse(line) as Line;
const withType = (line: string, type: string): string => JSON.stringify({ ...parsed(line), type });
const spread = (line: string): string => JSON.stringify(parsed(line), null, 1).replaceAll("\n", " ");
const turnedRound = (line: string): string =>
  JSON.stringify(Object.fromEntries(Object.entries(parsed(line)).reverse()));
const withMember = (line: string, member: string): string => line.replace(/^\{/, `{${member},`);
const withOrdinal = (line: string, ordinal: string): string => line.replace(/"ordinal":\d+/, `"ordinal":${ordinal}`);
const withTime = (line: string, time: string): string => line.replace(/"timestamp":"[^"]*"/, `"timestamp":${time}`);
const half = (line: string): string => line.slice(0, line.length / 2);
const inFirstText = (line: string, what: string): string => line.replace(/("text":")/, `$1${what}`);

/** What may happen to one line, as the lines that stand in its place. */
const OF_A_LINE: Readonly<Record<string, (line: string, next: string) => readonly string[]>> = {
  removed: () => [],
  doubled: (line) => [line, line],
  "moved behind the next": (line, next) => [next, line],
  "joined with the next": (line, next) => [line + next],
  torn: (line) => [half(line)],
  "torn, and joined with the next": (line, next) => [half(line) + next],
  "torn, then whole": (line) => [half(line), line],
  "a blank line before": (line) => ["", line],
  "blanks before": (line) => ["   \t", line],
  "blanks around": (line) => [`  ${line}\t `],
  "zeros before": (line) => [`${"\0".repeat(512)}${line}`],
  "a line of zeros before": (line) => ["\0".repeat(512), line],
  "another value before": (line) => ["[1]", '"x"', "7", "null", line],
  "with blanks inside": (line) => [spread(line)],
  "members the other way round": (line) => [turnedRound(line)],
  "an ordinal as a fraction": (line) => [withOrdinal(line, "3.0")],
  "an ordinal as a text": (line) => [withOrdinal(line, '"3"')],
  "an ordinal of before": (line) => [withOrdinal(line, "0")],
  "an ordinal far ahead": (line) => [withOrdinal(line, "4000000000")],
  "an ordinal that no number holds": (line) => [withOrdinal(line, "18446744073709551615")],
  "an ordinal below zero": (line) => [withOrdinal(line, "-1")],
  "a time of another form": (line) => [withTime(line, '"2026-11-22 06:25:43+02:00"')],
  "a time that is none": (line) => [withTime(line, '"yesterday"')],
  "a time as a number": (line) => [withTime(line, "1763790000")],
  "a member twice": (line) => [withMember(line, '"payload":{"type":"message"}')],
  "half a pair in a text": (line) => [inFirstText(line, "\\ud83d")],
  "a zero in a text": (line) => [inFirstText(line, "\\u0000")],
  "a lone quote in a text": (line) => [inFirstText(line, '"')],
};

/** What may happen to the whole file. */
const OF_A_FILE: Readonly<Record<string, (lines: readonly string[]) => string>> = {
  "a byte order mark": (lines) => `\ufeff${lines.join("\n")}\n`,
  "line ends of another system": (lines) => `${lines.join("\r\n")}\r\n`,
  "no last line feed": (lines) => lines.join("\n"),
  "half a last line": (lines) => `${lines.join("\n")}\n${half(lines.at(-1) ?? "")}`,
  "blank lines at the end": (lines) => `${lines.join("\n")}\n\n\n`,
  "zeros at the end": (lines) => `${lines.join("\n")}\n${"\0".repeat(4096)}`,
  "twice one after another": (lines) => `${[...lines, ...lines].join("\n")}\n`,
  "backwards below its header": ([header, ...rest]) => `${[header, ...rest.reverse()].join("\n")}\n`,
  "header at the end": ([header, ...rest]) => `${[...rest, header].join("\n")}\n`,
  "another's header after its own": ([header = "", ...rest]) =>
    `${[header, header.replaceAll(FILE_ID, (id) => `0${id.slice(1, -1)}1`), ...rest].join("\n")}\n`,
  "header alone": ([header]) => `${header}\n`,
};

/** What happens to the lines from `at` on. */
function lineChanges(at: number): [name: string, textOf: DamagedText["textOf"]][] {
  const ways = [
    ...Object.entries(OF_A_LINE),
    ...OTHER_TYPES.map((type) => [`as ${type}`, (line: string) => [withType(line, type)]] as const),
  ];
  const changes = ways.map(([name, change]): [string, DamagedText["textOf"]] => [
    name,
    (lines) => {
      const [line = "", next = ""] = lines.slice(at, at + 2);
      const stand = lines.toSpliced(at, name.includes("the next") ? 2 : 1, ...change(line, next));
      return Buffer.from(`${stand.join("\n")}\n`);
    },
  ]);
  return [...changes, ["with a byte that is no text", (lines) => withByte(lines, at)]];
}

function withByte(lines: readonly string[], at: number): Buffer {
  const bytes = Buffer.from(`${lines.join("\n")}\n`);
  const before = Buffer.byteLength(lines.slice(0, at).join("\n"));
  bytes[before + (Buffer.byteLength(lines[at] ?? "") >> 1)] = 0xff;
  return bytes;
}

/** All of the file, and of the first line of each kind that is not among `seen`, which these join. */
export function* damagedTextsOf(lines: readonly string[], seen = new Set<string>()): Generator<DamagedText> {
  for (const [name, change] of Object.entries(OF_A_FILE)) yield { name, textOf: (all) => Buffer.from(change(all)) };
  const whole = Buffer.from(`${lines.join("\n")}\n`);
  for (const [at, line] of lines.entries()) {
    // The last line is where others go on; one that is no JSON is damaged already.
    const of = kindOfLine(line);
    const kind = of !== undefined && at === lines.length - 1 ? "last" : of;
    if (kind === undefined || seen.has(kind)) continue;
    seen.add(kind);
    for (const [name, textOf] of lineChanges(at)) {
      if (!textOf(lines).equals(whole)) yield { name: `line ${at} ${name}`, textOf };
    }
  }
}
