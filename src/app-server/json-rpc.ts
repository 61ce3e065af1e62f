/**
 * The messages on the wire: JSON-RPC 2.0 without the `jsonrpc` member (SPEC 9.1).
 *
 * - What is no message is ignored without an answer: no JSON, an array, a text, `{}`, an id alone.
 * - An id is a text or a whole number, and comes back as it was.
 * - What nests too deep or holds too many values is not parsed: a request is refused, an answer counts as failed.
 */
import { envelopeOf, reasonToRefuse } from "./refused-message.ts";

/** A whole number that JavaScript's numbers do not hold exactly is a bigint. */
export type RequestId = string | number | bigint;

export type RpcErrorObject = { code: number; message: string; data?: unknown };

export type Incoming =
  | { readonly kind: "request"; readonly id: RequestId; readonly method: string; readonly params: unknown }
  | { readonly kind: "refused"; readonly id: RequestId; readonly why: string }
  | { readonly kind: "notification"; readonly method: string; readonly params: unknown }
  | { readonly kind: "result"; readonly id: RequestId; readonly result: unknown }
  | { readonly kind: "error"; readonly id: RequestId; readonly error: unknown };

export type Answer = { id: RequestId; result: unknown } | { id: RequestId; error: RpcErrorObject };
export type ServerRequest = { method: string; id: RequestId; params: unknown };
/** `emittedAtMs` is when the server said it, which may be before it was sent. */
export type Notification = { method: string; params: unknown; emittedAtMs: number };
export type Outgoing = Answer | ServerRequest | Notification;

/** Reads one line or frame; undefined for what is to be ignored. */
export function readMessage(text: string): Incoming | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  const why = reasonToRefuse(text);
  if (why !== undefined) return refused(text, why);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { id: read, method, params, result, error } = value as Record<string, unknown>;
  const id = Number.isInteger(read) && !Number.isSafeInteger(read) ? envelopeOf(text).id : read;
  if (typeof method === "string") {
    return isRequestId(id) ? { kind: "request", id, method, params } : { kind: "notification", method, params };
  }
  if (!isRequestId(id)) return undefined;
  if (Object.hasOwn(value, "error")) return { kind: "error", id, error };
  return Object.hasOwn(value, "result") ? { kind: "result", id, result } : undefined;
}

function refused(text: string, why: string): Incoming | undefined {
  const { id, hasMethod } = envelopeOf(text);
  if (!isRequestId(id)) return undefined;
  return hasMethod ? { kind: "refused", id, why } : { kind: "error", id, error: why };
}

const isRequestId = (id: unknown): id is RequestId =>
  typeof id === "string" || typeof id === "bigint" || Number.isSafeInteger(id);

/** A message as it goes out. */
export function wireText(message: Outgoing): string {
  if (!("id" in message) || typeof message.id !== "bigint") return JSON.stringify(message);
  const { id, ...rest } = message;
  return `{"id":${id},${JSON.stringify(rest).slice(1)}`;
}
