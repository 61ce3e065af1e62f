/** What a client receives for a failure: Codex's number and text, and our own code in `data.code`. */
import { type ErrorCode, InternalDefect, SkeinError } from "../protocol/errors.ts";
import type { RpcErrorObject } from "./json-rpc.ts";

export const INVALID_REQUEST = -32600;
export const METHOD_NOT_FOUND = -32601;
export const INVALID_PARAMS = -32602;
export const INTERNAL_ERROR = -32603;
const OVERLOADED = -32001;

type RpcErrorOptions = {
  code?: ErrorCode;
  cause?: unknown;
  /** What `data` tells besides our own code. */
  details?: Readonly<Record<string, unknown>>;
};

/** An answer with a number and a text of its own. */
export class RpcError extends Error {
  readonly rpcCode: number;
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(rpcCode: number, message: string, options: RpcErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.name = "RpcError";
    this.rpcCode = rpcCode;
    this.details = options.details ?? {};
    this.code = options.code ?? (rpcCode === INTERNAL_ERROR ? "internal_defect" : "invalid_request");
  }
}

export const invalidRequest = (message: string, options: RpcErrorOptions = {}): RpcError =>
  new RpcError(INVALID_REQUEST, message, options);

export const invalidParams = (message: string, options: RpcErrorOptions = {}): RpcError =>
  new RpcError(INVALID_PARAMS, message, options);

export const threadNotFound = (threadId: string): RpcError =>
  invalidRequest(`thread not found: ${threadId}`, { code: "thread_not_found" });

/** Skein keeps no projects. */
export const projectNotFound = (projectId: string, number = INVALID_REQUEST): RpcError =>
  new RpcError(number, projectId === "" ? "projectId must not be empty" : `project not found: ${projectId}`);

export const noRollout = (threadId: string): RpcError =>
  invalidRequest(`no rollout found for thread id ${threadId}`, { code: "rollout_not_found" });

export const overloaded = (): RpcError =>
  new RpcError(OVERLOADED, "Server overloaded; retry later.", { code: "overloaded" });

/** The error member of an answer. What is none of ours is a defect, and its text is not shown. */
export function errorObjectOf(error: unknown): RpcErrorObject {
  if (error instanceof RpcError) {
    return { code: error.rpcCode, message: error.message, data: { ...error.details, code: error.code } };
  }
  if (error instanceof SkeinError) {
    const { name: _, message, code, ...details } = error.toJSON();
    return { code: error.rpcCode, message, data: { code, ...details } };
  }
  if (error instanceof DOMException && error.name === "AbortError") {
    return { code: INTERNAL_ERROR, message: "the request was given up", data: { code: "deadline_exceeded" } };
  }
  return { code: INTERNAL_ERROR, message: "internal error", data: { code: InternalDefect.code } };
}

/** Says what failed, as Codex does for its internal errors; any other error passes as it is. */
export async function withContext<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SkeinError) || error.rpcCode !== INTERNAL_ERROR) throw error;
    throw new RpcError(INTERNAL_ERROR, `${what}: ${error.message}`, { code: error.code, cause: error });
  }
}

/** The text of an error for a longer message. */
export const textOfError = (error: unknown): string => (error instanceof Error ? error.message : String(error));
