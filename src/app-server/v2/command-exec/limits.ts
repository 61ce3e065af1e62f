/** What the methods that run programs for a client have in common: their defaults, and what they take for a size and an input. */
import * as z from "zod";
import { optionalFlag, optionalText } from "../../params.ts";
import { invalidParams } from "../../rpc-error.ts";
import type { TerminalSize } from "./plan.ts";
import type { CommandRun } from "./run.ts";

/** Codex's defaults, and what is kept of each stream when the client wants no cap. */
export const TIMEOUT_MS = 10_000;
export const CAP_BYTES = 1024 * 1024;
export const KEPT_BYTES = 64 * CAP_BYTES;

export const sizeSchema = z.object({ rows: z.int().min(0).max(0xffff), cols: z.int().min(0).max(0xffff) });
export const inputSchema = { deltaBase64: optionalText, closeStdin: optionalFlag };

/** @throws RpcError -32602 */
export function checkSize({ rows, cols }: TerminalSize, what: string): void {
  if (rows === 0 || cols === 0) throw invalidParams(`${what} rows and cols must be greater than 0`);
}

type Input = { readonly deltaBase64?: string | null | undefined; readonly closeStdin?: boolean | null | undefined };

/** @throws RpcError -32600, -32602 */
export async function writeInput(
  method: string,
  { deltaBase64, closeStdin }: Input,
  find: () => CommandRun,
): Promise<object> {
  if (deltaBase64 == null && closeStdin !== true) throw invalidParams(`${method} requires deltaBase64 or closeStdin`);
  const bytes = bytesOf(deltaBase64 ?? "");
  const run = find();
  await (closeStdin === true ? run.finishInput(bytes) : run.write(bytes));
  return {};
}

function bytesOf(base64: string): Buffer {
  const at = base64.search(/[^A-Za-z0-9+/=]|=(?!=?$)/);
  if (at !== -1) {
    throw invalidParams(`invalid deltaBase64: Invalid symbol ${base64.codePointAt(at)}, offset ${at}.`);
  }
  if (base64.length % 4 !== 0) throw invalidParams("invalid deltaBase64: Invalid padding");
  return Buffer.from(base64, "base64");
}
