/** What a method of the server is. */
import type * as z from "zod";
import type { Connection } from "./connection.ts";
import type { RequestId } from "./json-rpc.ts";
import { ALONE, type Scope } from "./request-order.ts";

/** One request that is being worked on. */
export interface Call {
  readonly connection: Connection;
  /** The client's own, as it came: another request of the same client may bear it too. */
  readonly requestId: RequestId;
  /** Fires when the client has gone. */
  readonly signal: AbortSignal;
  /** Runs right after the answer has been sent; not after an error. */
  afterAnswer(fn: () => void): void;
  /** Runs after the answer, or error, and all else. */
  finally(fn: () => void): void;
}

export type Method = {
  readonly params: z.ZodType;
  readonly handle: (params: unknown, call: Call) => unknown;
  /** Needs the experimentalApi capability: as a whole, or when one of these params is given. */
  readonly experimental: true | readonly string[];
  readonly scope: (params: unknown) => Scope;
  /** May be called before initialize. */
  readonly isFirst: boolean;
};

export type MethodTable = { readonly [name: string]: Method };

export type MethodOptions<P> = {
  readonly params: z.ZodType<P>;
  readonly handle: (params: P, call: Call) => unknown;
  readonly experimental?: Method["experimental"];
  /** Changes what other requests depend on. */
  readonly alone?: boolean;
  readonly isFirst?: boolean;
};

/** Requests about one thread are worked on in their order. */
export function method<P>({ params, handle, experimental, alone, isFirst }: MethodOptions<P>): Method {
  return {
    params,
    handle: (given, call) => handle(given as P, call),
    experimental: experimental ?? [],
    scope: alone === true ? () => ALONE : threadScope,
    isFirst: isFirst ?? false,
  };
}

function threadScope(params: unknown): Scope {
  if (typeof params !== "object" || params === null) return undefined;
  const { threadId, conversationId } = params as { threadId?: unknown; conversationId?: unknown };
  const id = threadId ?? conversationId;
  return typeof id === "string" ? id : undefined;
}
