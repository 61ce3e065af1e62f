/** What an MCP server asks the user while it works on a call (MCP 2025-11-25, Elicitation). */
import type { ElicitRequest } from "@modelcontextprotocol/client";
import { withDeadline } from "../../../kernel/cancellation.ts";
import { type Clock, elapsedBy } from "../../../kernel/clock.ts";
import type { Elicitation, ElicitationAnswer } from "../../../protocol/elicitation.ts";
import type { ThreadId } from "../../../protocol/ids.ts";

/** The user of one thread, as a call of its asks them. An abort withdraws the question and rejects. */
export type Asked = {
  readonly threadId: ThreadId;
  readonly askUser: (asked: Elicitation, signal: AbortSignal) => Promise<ElicitationAnswer>;
};

/** A question that nobody answers for so long counts as dismissed. */
const ANSWER_MS = 10 * 60_000;

export type OpenCall = { readonly asked: Asked | undefined; readonly signal: AbortSignal; readonly time: CallTime };

/** The time that a call may take. It stands still while the user is asked, as with Codex. */
export class CallTime {
  readonly #clock: Clock;
  readonly #ended = new AbortController();
  readonly #seconds: number;
  #leftMs: number;
  #since = 0;
  #timer: unknown;
  #pauses = 1;

  constructor(clock: Clock, seconds: number) {
    this.#clock = clock;
    this.#seconds = seconds;
    this.#leftMs = seconds * 1000;
    this.resume();
  }

  /** Fires when the time is up. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  pause(): void {
    this.#pauses += 1;
    if (this.#pauses > 1) return;
    this.#clock.clearTimeout(this.#timer);
    this.#leftMs -= elapsedBy(this.#clock) - this.#since;
  }

  resume(): void {
    this.#pauses -= 1;
    if (this.#pauses > 0) return;
    this.#since = elapsedBy(this.#clock);
    const end = () => this.#ended.abort(new Error(`Request timed out after ${this.#seconds} seconds`));
    this.#timer = this.#clock.setTimeout(end, Math.max(0, this.#leftMs));
  }

  end(): void {
    this.#pauses = Number.POSITIVE_INFINITY;
    this.#clock.clearTimeout(this.#timer);
  }
}

/**
 * Whom a server's question is for: the user of the thread whose call it works on. Threads share a server, and a question does not
 * say which call it belongs to; where calls of several threads run, nobody's user is asked for another's, and it is declined.
 */
export async function answerElicitation(
  calls: ReadonlySet<OpenCall>,
  { params }: ElicitRequest,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<ElicitationAnswer> {
  const open = [...calls];
  const call = open.at(-1);
  const { asked } = call ?? {};
  if (call === undefined || asked === undefined) return { action: "decline" };
  if (open.some((other) => other.asked?.threadId !== asked.threadId)) return { action: "decline" };
  call.time.pause();
  try {
    const until = AbortSignal.any([signal, call.signal]);
    return await withDeadline("the user's answer", (within) => asked.askUser(elicitationOf(params), within), {
      ...{ deadlineMs: ANSWER_MS, clock, signal: until },
    });
  } catch {
    return { action: "cancel" };
  } finally {
    call.time.resume();
  }
}

function elicitationOf(params: ElicitRequest["params"]): Elicitation {
  const said = { message: params.message, meta: params._meta ?? null };
  return params.mode === "url"
    ? { ...said, mode: "url", url: params.url, elicitationId: params.elicitationId }
    : { ...said, mode: "form", requestedSchema: params.requestedSchema };
}
