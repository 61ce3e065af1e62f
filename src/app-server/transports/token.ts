import { createHash, timingSafeEqual } from "node:crypto";
import { InvalidRequestError } from "../../protocol/errors.ts";
import { readText } from "../../services/bounded-read.ts";
import type { ListenAuth } from "./listener.ts";

/** Whether the value of an Authorization header may come in. */
export type TokenCheck = (authorization: string | undefined) => boolean;

const MAX_TOKEN_BYTES = 64 * 1024;

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();

/** undefined: no token is asked for. @throws InvalidRequestError for a token that can't be read or is none */
export async function tokenCheckOf({ tokenFile, tokenSha256 }: ListenAuth): Promise<TokenCheck | undefined> {
  if (tokenFile !== undefined && tokenSha256 !== undefined) {
    throw new InvalidRequestError("--ws-token-file and --ws-token-sha256 exclude each other");
  }
  const expected = tokenFile === undefined ? digestOf(tokenSha256) : sha256(await tokenOf(tokenFile));
  if (expected === undefined) return undefined;
  return (authorization) => {
    const given = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
    // Digests have one length, so the comparison takes as long whatever was sent.
    return timingSafeEqual(sha256(given ?? ""), expected) && given !== undefined;
  };
}

function digestOf(hex: string | undefined): Buffer | undefined {
  if (hex === undefined) return undefined;
  if (!/^[0-9a-f]{64}$/i.test(hex)) throw new InvalidRequestError("--ws-token-sha256: must be 64 hexadecimal digits");
  return Buffer.from(hex, "hex");
}

async function tokenOf(file: string): Promise<string> {
  const token = await readText(file, MAX_TOKEN_BYTES).catch((cause: unknown) => {
    throw new InvalidRequestError(`--ws-token-file: ${file} can't be read`, { cause });
  });
  if (token.trim() === "") throw new InvalidRequestError(`--ws-token-file: ${file} is empty`);
  return token.trim();
}
