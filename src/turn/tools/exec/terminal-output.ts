/** What exec_command and write_stdin answer, in Codex's form. */
import { randomBytes } from "node:crypto";
import { estimatedTokens, OUTPUT_TOKENS, truncateMiddle } from "../../tool-output.ts";
import type { Piece, Terminal } from "./terminal.ts";

export type Look = {
  readonly terminal: Terminal;
  /** How long the call waited. */
  readonly waitedMs: number;
  /** The budget that the model asks for. */
  readonly maxOutputTokens: number | null | undefined;
};

/** What came since the last look, and whether the command goes on. */
export function answerFor({ terminal, waitedMs, maxOutputTokens }: Look): string {
  const piece = terminal.take();
  const { exitCode, id } = terminal;
  return [
    `Chunk ID: ${randomBytes(3).toString("hex")}`,
    `Wall time: ${(waitedMs / 1000).toFixed(4)} seconds`,
    exitCode === undefined ? `Process running with session ID ${id}` : `Process exited with code ${exitCode}`,
    `Original token count: ${estimatedTokens(piece.bytes)}`,
    "Output:",
    shown(piece, Math.min(maxOutputTokens ?? OUTPUT_TOKENS, OUTPUT_TOKENS)),
  ].join("\n");
}

function shown({ text, bytes, lines, omittedBytes }: Piece, budget: number): string {
  const cut = truncateMiddle(text, omittedBytes, budget);
  if (cut === text && omittedBytes === 0) return text;
  return `Warning: truncated output (original token count: ${estimatedTokens(bytes)})\nTotal output lines: ${lines}\n\n${cut}`;
}
