/** What a command line asks a turn to do. */
import { resolve } from "node:path";
import { InvalidRequestError, type UserInput } from "../../index.ts";
import { readText } from "../../services/bounded-read.ts";
import { UsageError } from "../failure.ts";
import type { Io } from "../terminal/io.ts";
import type { ExecOptions } from "./command.ts";

export type Words = { readonly prompt: string | undefined; readonly thread: string | undefined };

/** Reads `[PROMPT]`, `resume ID [PROMPT]` and `PROMPT resume ID`. @throws UsageError */
export function readWords(words: readonly string[]): Words {
  const at = words[0] === "resume" ? 0 : words[1] === "resume" ? 1 : -1;
  if (at === -1) {
    if (words.length > 1) throw new UsageError("the prompt must be one argument: put it in quotes");
    return { prompt: words[0], thread: undefined };
  }
  const thread = words[at + 1];
  if (thread === undefined) throw new UsageError("resume: the id of a thread is missing");
  const [prompt, ...rest] = [...words.slice(0, at), ...words.slice(at + 2)];
  if (rest.length > 0) throw new UsageError("the prompt must be one argument: put it in quotes");
  return { prompt, thread };
}

/** The prompt's text and the images. @throws UsageError when there is nothing to say */
export async function inputOf(prompt: string | undefined, options: ExecOptions, io: Io): Promise<UserInput[]> {
  const text = await promptText(prompt, options, io);
  const images = (options.image ?? []).map((path) => ({ type: "local_image" as const, path: resolve(io.cwd(), path) }));
  if (text.trim() === "" && images.length === 0) throw new UsageError("the prompt is empty");
  return text.trim() === "" ? images : [{ type: "text", text }, ...images];
}

async function promptText(
  prompt: string | undefined,
  { experimentalJson }: ExecOptions,
  { stdin }: Io,
): Promise<string> {
  if (prompt !== undefined && prompt !== "-") return prompt;
  if (prompt === undefined && stdin.isTTY)
    throw new UsageError("a prompt is missing; `-` reads it from standard input");
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
  const text = Buffer.concat(chunks).toString("utf8");
  // A program that writes the prompt means every character of it; a shell's pipe adds a newline.
  return experimentalJson ? text : text.trimEnd();
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
