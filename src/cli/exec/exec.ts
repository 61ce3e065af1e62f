import type { ReviewTarget, UserInput } from "../../index.ts";
import { CODEX_TOOLS } from "../../protocol/built-in-tool-names.ts";
import { EXIT, Exit } from "../failure.ts";
import { Interruption } from "../interruption.ts";
import { drained, type Io } from "../terminal/io.ts";
import { JsonView } from "./json-view.ts";
import { LastMessageFile } from "./last-message-file.ts";
import type { ExecOptions, ReviewOptions } from "./options.ts";
import { inputOf, schemaOf, targetOf, withPiped } from "./request.ts";
import { SdkView } from "./sdk-view.ts";
import { runTurn, withSession } from "./session.ts";
import { TextView } from "./text-view.ts";
import type { TurnView } from "./view.ts";
import type { ThreadWanted, Words } from "./words.ts";

/** Runs one turn of a new or a stored thread, and exits as it ended. */
export async function runExec({ prompt, thread }: Words, options: ExecOptions, io: Io): Promise<void> {
  // A thread that goes on is told the prompt alone, as Codex does it.
  const input = await inputOf(thread === undefined ? await withPiped(prompt, io) : prompt, options, io);
  await runOneTurn(input, thread, options, io);
}

/** Has the changes of the folder reviewed, by a new thread. */
export async function runReview(words: readonly string[], options: ReviewOptions, io: Io): Promise<void> {
  const tools = options.tools ?? CODEX_TOOLS;
  await runOneTurn(await targetOf(words, options, io), undefined, { ...options, tools }, io);
}

async function runOneTurn(
  input: readonly UserInput[] | ReviewTarget,
  thread: ThreadWanted | undefined,
  options: ExecOptions,
  io: Io,
): Promise<void> {
  const outputSchema = options.outputSchema === undefined ? undefined : await schemaOf(options.outputSchema, io);
  const file =
    options.outputLastMessage === undefined ? undefined : await LastMessageFile.at(options.outputLastMessage, io);
  using interruption = new Interruption();
  const { signal } = interruption;
  const view = viewFor(options, io);
  try {
    const result = await withSession(toolsOf(options), { thread, view, signal }, io, (session) =>
      runTurn(session, { input, view, signal, ...(outputSchema !== undefined && { outputSchema }) }, io),
    );
    const outcome = view instanceof SdkView ? view.outcome : result.status;
    if (outcome === "completed") await file?.write(result.lastAgentMessage);
    if (outcome !== "completed") throw new Exit(interruption.exitCode ?? EXIT.failed);
  } catch (error) {
    interruption.throwIfInterrupted();
    throw error;
  } finally {
    view.flush();
    await drained(io.stdout);
  }
}

function viewFor({ experimentalJson, json, outputSchema }: ExecOptions, io: Io): TurnView {
  if (experimentalJson) return new SdkView(io);
  return json ? new JsonView(io) : new TextView(io, { finalOnly: outputSchema !== undefined });
}

/** A client of `codex exec` takes Codex's tools for granted. */
const toolsOf = ({ tools, experimentalJson, ...options }: ExecOptions): ExecOptions => {
  const chosen = tools ?? (experimentalJson ? CODEX_TOOLS : undefined);
  return { ...options, ...(chosen !== undefined && { tools: chosen }) };
};
