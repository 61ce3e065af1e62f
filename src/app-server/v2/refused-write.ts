/** Why config.toml is not written, with the code by which clients tell. */
import { InvalidRequestError } from "../../protocol/errors.ts";
import { invalidRequest, type RpcError } from "../rpc-error.ts";

type Code = "configLayerReadonly" | "configPathNotFound" | "configValidationError" | "configVersionConflict";

export const refusedWrite = (message: string, code: Code = "configValidationError", cause?: unknown): RpcError =>
  invalidRequest(message, { details: { config_write_error_code: code }, cause });

/** What the file itself says of a write that it does not take. @throws RpcError, or what is no refusal */
export function throwRefusedWrite(error: unknown): never {
  throw error instanceof InvalidRequestError ? refusedWrite(error.message, "configValidationError", error) : error;
}
