/** One call of a built-in tool: what it was asked, and all that it may touch of the thread. */
import type * as z from "zod";
import type { Clock } from "../../kernel/clock.ts";
import { InvalidRequestError } from "../../protocol/errors.ts";
import type { EventMsg } from "../../protocol/event.ts";
import type { ThreadId, TurnId } from "../../protocol/ids.ts";
import type { ReviewDecision } from "../../protocol/policy.ts";
import type { ResponseItem } from "../../protocol/response-item.ts";
import type { ResolvedThreadConfig } from "../../protocol/thread-config.ts";
import type { ApplyPatchApprovalRequestEvent, ExecApprovalRequestEvent } from "../../protocol/tool-events.ts";
import type { Duration, TurnItem } from "../../protocol/turn-item.ts";
import { explainIssues } from "../../protocol/validation.ts";
import type { Agents } from "../agents.ts";
import type { Consents } from "../consents.ts";
import type { TurnHost } from "../turn-host.ts";
import type { RunningCall, TurnRun } from "../turn-run.ts";

/** The last exclusive work of each turn. */
const lanes = new WeakMap<TurnRun, Promise<unknown>>();

export class CallContext {
  readonly callId: string;
  readonly kind: RunningCall["kind"];
  /** The arguments as the model wrote them: JSON, or for a custom tool any text. */
  readonly raw: string;
  /** The turn's settings. */
  readonly config: ResolvedThreadConfig;
  readonly #host: TurnHost;
  readonly #run: TurnRun;

  constructor(host: TurnHost, run: TurnRun, call: Pick<RunningCall, "callId" | "kind"> & { raw: string }) {
    this.callId = call.callId;
    this.kind = call.kind;
    this.raw = call.raw;
    this.config = run.config;
    this.#host = host;
    this.#run = run;
  }

  get threadId(): ThreadId {
    return this.#host.threadId;
  }

  get turnId(): TurnId {
    return this.#run.turnId;
  }

  /** Fires when the turn is interrupted or the thread ends. */
  get signal(): AbortSignal {
    return this.#run.signal;
  }

  get clock(): Clock {
    return this.#host.clock;
  }

  get consents(): Consents {
    return this.#host.approvals.consents;
  }

  /** Other threads, for tools that work with agents. */
  get agents(): Agents {
    return this.#host.env.agents;
  }

  /** The conversation so far, as the model knows it. */
  conversation(): readonly ResponseItem[] {
    return this.#host.history?.forModel() ?? [];
  }

  /** Stands for the turn in maps of what lasts as long as it does. */
  get turnKey(): object {
    return this.#run;
  }

  /** @throws InvalidRequestError that tells the model what is wrong with its arguments */
  argumentsAs<T>(schema: z.ZodType<T>): T {
    let value: unknown;
    try {
      value = this.raw.trim() === "" ? {} : JSON.parse(this.raw);
    } catch (error) {
      throw new InvalidRequestError(`failed to parse function arguments: ${(error as Error).message}`);
    }
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    throw new InvalidRequestError(`failed to parse function arguments: ${explainIssues(result.error.issues)}`);
  }

  /** Work that outlives its turn says nothing any more. */
  publish(msg: EventMsg): void {
    if (!this.#run.ended) this.#host.publish(this.#run.id, msg);
  }

  startItem(item: TurnItem): void {
    this.publish({ type: "item_started", thread_id: this.threadId, turn_id: this.turnId, item });
  }

  completeItem(item: TurnItem): void {
    this.publish({ type: "item_completed", thread_id: this.threadId, turn_id: this.turnId, item });
  }

  /** Asks whoever watches the thread, and waits for the first answer. An abort withdraws the question and rejects. */
  async ask(msg: ExecApprovalRequestEvent | ApplyPatchApprovalRequestEvent): Promise<ReviewDecision> {
    const host = this.#host;
    const answer = host.approvals.ask({ turn: this.#run.id, callId: this.callId, msg }, this.signal);
    host.signalTurn({ type: "approval.requested" });
    this.publish(msg);
    try {
      return await answer;
    } finally {
      host.signalTurn({ type: "approval.resolved" });
    }
  }

  /** Runs after the turn's earlier exclusive work: what changes the machine goes one by one, in the order of the calls. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const before = lanes.get(this.#run) ?? Promise.resolve();
    const mine = before.then(() => {
      this.signal.throwIfAborted();
      return work();
    });
    lanes.set(
      this.#run,
      mine.catch(() => undefined),
    );
    return mine;
  }
}

export const durationOf = (ms: number): Duration => ({
  secs: Math.floor(ms / 1000),
  nanos: Math.round((ms % 1000) * 1_000_000),
});
