/** What is asked of an engine beside invocations: its admin API. */
import * as z from "zod";
import { connect } from "../../cluster/connect.ts";
import { EngineError } from "../engines/engine-package.ts";
import { answerOf } from "../engines/leashed-process.ts";

const ASK_MS = 10_000;
const INVOKED_MS = 60_000;
const RESTATE_ADMIN_PORT = "9070";

const refusalSchema = z.object({ message: z.string() });

/** The admin API that belongs to an ingress, unless it is named: the same host at Restate's own port. */
export function adminOf(ingress: string, admin: string | undefined): string {
  if (admin !== undefined) return admin;
  const url = new URL(ingress);
  url.port = RESTATE_ADMIN_PORT;
  return url.origin;
}

/**
 * Tells the engine where workers are. An address that it knows is looked at anew, since its worker may be of another release:
 * what runs goes on there.
 *
 * @throws EngineError, the signal's reason
 */
export async function register({
  admin,
  uri,
  signal,
}: {
  admin: string;
  uri: string;
  signal: AbortSignal;
}): Promise<void> {
  const body = JSON.stringify({ uri, force: true });
  const headers = { "content-type": "application/json" };
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]);
  const response = await fetch(new URL("/deployments", admin), {
    method: "POST",
    headers,
    body,
    signal: deadline,
  }).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new EngineError(`the engine's admin API does not answer at ${admin}: name it by --admin`, { cause });
  });
  const text = await response.text();
  if (response.ok) return;
  throw new EngineError(`the engine does not take ${uri} as a worker: ${refusalOf(text)}`);
}

function refusalOf(text: string): string {
  try {
    return refusalSchema.parse(JSON.parse(text)).message;
  } catch {
    return text.slice(0, 300);
  }
}

/**
 * Resolves once an invocation has come through: the engine is healthy before it serves, and learns of a worker a moment after
 * it has registered it.
 *
 * @throws what the last try failed with, after a minute; the signal's reason
 */
export async function untilInvoked({ ingress, signal }: { ingress: string; signal: AbortSignal }): Promise<void> {
  const ask = async () => {
    const threads = connect({ ingress, signal: AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]) });
    try {
      await threads.listThreads({ limit: 1 });
    } finally {
      await threads[Symbol.asyncDispose]();
    }
  };
  await answerOf(ask, { deadlineMs: INVOKED_MS, signal });
}
