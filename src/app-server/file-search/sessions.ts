/** fuzzyFileSearch/session*: a search that is asked again with every letter, and tells what it finds by notifications. */
import * as z from "zod";
import type { Connection } from "../connection.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { text } from "../params.ts";
import { INTERNAL_ERROR, invalidRequest, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { findFiles } from "./file-search.ts";

const startSchema = z.object({ sessionId: text, roots: z.array(z.string()) });
const updateSchema = z.object({ sessionId: text, query: text });
const stopSchema = z.object({ sessionId: text });

type Session = { readonly roots: readonly string[]; running: AbortController | undefined };

export const fileSearchSessionMethods = (server: ServerContext): MethodTable => {
  const sessions = new WeakMap<Connection, Map<string, Session>>();
  const of = ({ connection }: Call): Map<string, Session> => {
    const found = sessions.get(connection) ?? new Map<string, Session>();
    sessions.set(connection, found);
    return found;
  };
  const search = (session: Session, sessionId: string, query: string, call: Call) => {
    session.running?.abort();
    session.running = new AbortController();
    void tellFound(server, { session, sessionId, query, running: session.running.signal }, call);
  };
  return {
    "fuzzyFileSearch/sessionStart": method({
      params: startSchema,
      handle: ({ sessionId, roots }, call) => {
        if (sessionId === "") throw invalidRequest("sessionId must not be empty");
        if (roots.length === 0) throw new RpcError(INTERNAL_ERROR, NO_ROOTS, { code: "invalid_request" });
        of(call).get(sessionId)?.running?.abort();
        const session: Session = { roots, running: undefined };
        of(call).set(sessionId, session);
        call.afterAnswer(() => search(session, sessionId, "", call));
        return {};
      },
    }),
    "fuzzyFileSearch/sessionUpdate": method({
      params: updateSchema,
      handle: ({ sessionId, query }, call) => {
        const session = of(call).get(sessionId);
        if (session === undefined) throw invalidRequest(`fuzzy file search session not found: ${sessionId}`);
        call.afterAnswer(() => search(session, sessionId, query, call));
        return {};
      },
    }),
    "fuzzyFileSearch/sessionStop": method({
      params: stopSchema,
      handle: ({ sessionId }, call) => {
        of(call).get(sessionId)?.running?.abort();
        of(call).delete(sessionId);
        return {};
      },
    }),
  };
};

const NO_ROOTS = "failed to start fuzzy file search session: at least one search directory is required";

type Asked = {
  readonly session: Session;
  readonly sessionId: string;
  readonly query: string;
  readonly running: AbortSignal;
};

/** A search that a later one has overtaken tells nothing. */
async function tellFound(server: ServerContext, { session, sessionId, query, running }: Asked, call: Call) {
  try {
    const files = await findFiles(server, { query, roots: session.roots }, [running, call.signal]);
    if (running.aborted || call.signal.aborted) return;
    call.connection.tell({ method: "fuzzyFileSearch/sessionUpdated", params: { sessionId, query, files } });
    call.connection.tell({ method: "fuzzyFileSearch/sessionCompleted", params: { sessionId } });
  } catch (err) {
    server.logger.warn({ err }, "a file search session failed");
  }
}
