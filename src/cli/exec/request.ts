/** What a command line asks a turn to do. */
import { resolve } from "node:path";
import { InvalidRequestError, type ReviewTarget, type UserInput } from "../../index.ts";
import { readText } from "../../services/bounded-read.ts";
import { UsageError } from "../failure.ts";
import type { Io } from "../terminal/io.ts";
import type { ExecOptions, ReviewOptions } from "./options.ts";

/** The prompt's text and the images. @throws UsageError when there is nothing to say */
export async function inputOf(prompt: string | undefined, options: ExecOptions, io: Io): Promise<UserInput[]> {
  const text = await promptText(prompt, options, io);
  const images = (options.image ?? []).map((path) => ({ type: "local_image" as const, path: resolve(io.cwd(), path) }));
  if (text.trim() === "" && images.length === 0) throw new UsageError("the prompt is empty");
  return text.trim() === "" ? images : [...images, { type: "text", text }];
}

/** What `review` looks at: exactly one of its options, or instructions. @throws UsageError */
export async function targetOf(
  [instructions, ...rest]: readonly string[],
  { uncommitted, base, commit, title, ...options }: ReviewOptions,
  io: Io,
): Promise<ReviewTarget> {
  if (rest.length > 0) throw new UsageError("the instructions must be one argument: put them in quotes");
  const named = [uncommitted === true, base !== undefined, commit !== undefined, instructions !== undefined];
  if (named.filter(Boolean).length !== 1) {
    throw new UsageError("review: say one of --uncommitted, --base BRANCH, --commit SHA and instructions");
  }
  if (title !== undefined && commit === undefined) throw new UsageError("review: --title goes with --commit");
  if (base?.trim() === "") throw new UsageError("review: the branch of --base is empty");
  if (commit?.trim() === "") throw new UsageError("review: the sha of --commit is empty");
  if (uncommitted) return { type: "uncommittedChanges" };
  if (base !== undefined) return { type: "baseBranch", branch: base };
  if (commit !== undefined) return { type: "commit", sha: commit, title: title ?? null };
  const text = await promptText(instructions, options, io);
  if (text.trim() === "") throw new UsageError("the instructions are empty");
  return { type: "custom", instructions: text };
}

async function promptText(
  prompt: string | undefined,
  { experimentalJson }: ExecOptions,
  { stdin }: Io,
): Promise<string> {
  if (prompt !== undefined && prompt !== "-") return prompt;
  if (prompt === undefined && stdin.isTTY)
    throw new UsageError("a prompt is missing; `-` reads it from standard input");
  const text = await textOn(stdin);
  // A program that writes the prompt means every character of it; a shell's pipe adds a newline.
  return experimentalJson ? text : text.trimEnd();
}

/** A prompt that is said to a new thread takes what is piped in along, in a block of its own, as Codex does. */
export async function withPiped(prompt: string | undefined, { stdin, stderr }: Io): Promise<string | undefined> {
  if (prompt === undefined || prompt === "-" || prompt.trim() === "" || !isPiped(stdin)) return prompt;
  const note = setTimeout(() => stderr.write("Reading additional input from stdin...\n"), PIPE_NOTE_MS);
  const text = await textOn(stdin).finally(() => clearTimeout(note));
  if (text.trim() === "") return prompt;
  return `${prompt}\n\n<stdin>\n${text}${text.endsWith("\n") ? "" : "\n"}</stdin>`;
}

/** So long an input that says nothing is waited for without a word. */
const PIPE_NOTE_MS = 300;

/** Whether somebody may have something to say there: a terminal is for answers to questions, and not for this. */
const isPiped = (stdin: Io["stdin"]): boolean => !stdin.isTTY;

/** All that comes, in UTF-8, or in UTF-16 where its first bytes say so. @throws InvalidRequestError for other bytes */
async function textOn(stdin: Io["stdin"]): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
  const bytes = Buffer.concat(chunks);
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (error) {
    throw new InvalidRequestError(
      "Failed to read prompt from stdin: input is not valid UTF-8. Convert it to UTF-8 and retry (e.g., `iconv -f <ENC> -t UTF-8 prompt.txt`).",
      { cause: error },
    );
  }
}

const MAX_SCHEMA_BYTES = 16 * 1024 * 1024;

/** The JSON Schema of a file. @throws InvalidRequestError */
export async function schemaOf(path: string, io: Io): Promise<Readonly<Record<string, unknown>>> {
  const file = resolve(io.cwd(), path);
  const refuse = (why: string, cause?: unknown): never => {
    throw new InvalidRequestError(`--output-schema ${path}: ${why}`, { cause });
  };
  const text = await readText(file, MAX_SCHEMA_BYTES).catch((error: Error) => refuse(error.message, error));
  let schema: unknown;
  try {
    schema = JSON.parse(text);
  } catch (error) {
    return refuse(`not JSON: ${(error as Error).message}`, error);
  }
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return refuse("not a JSON object");
  return schema as Record<string, unknown>;
}
