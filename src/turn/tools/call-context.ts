/** One call of a built-in tool: what it was asked, and all that it may touch of the thread. */
import { randomUUID } from "node:crypto";
import type * as z from "zod";
import type { Clock } from "../../kernel/clock.ts";
import type { HeldFolders } from "../../process/sandbox/held-folders.ts";
import type { Elicitation, ElicitationAnswer } from "../../protocol/elicitation.ts";
import { InvalidRequestError } from "../../protocol/errors.ts";
import type { EventMsg } from "../../protocol/event.ts";
import type { ThreadId, TurnId } from "../../protocol/ids.ts";
import { asksForServers, type ReviewDecision } from "../../protocol/policy.ts";
import type { ResponseItem } from "../../protocol/response-item.ts";
import type { HistoryMode } from "../../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../../protocol/thread-config.ts";
import type { ApplyPatchApprovalRequestEvent, ExecApprovalRequestEvent } from "../../protocol/tool-events.ts";
import type { Duration, TurnItem } from "../../protocol/turn-item.ts";
import type { UserAnswers, UserQuestion } from "../../protocol/user-question.ts";
import { explainIssues } from "../../protocol/validation.ts";
import type { Agents } from "../agents.ts";
import type { Consents } from "../consents.ts";
import { approvalTracing, mcpRequestNotice } from "../traces.ts";
import type { RunningCall, TurnRun } from "../turn-run.ts";
import type { CallHost } from "./call-host.ts";
import type { Terminals } from "./exec/terminals.ts";

/** What a turn's calls are at: resolved when the last exclusive work, and when all work so far, is done. */
type Lane = { exclusive: Promise<unknown>; all: Promise<unknown> };

type ApprovalRequest = ExecApprovalRequestEvent | ApplyPatchApprovalRequestEvent;

const lanes = new WeakMap<TurnRun, Lane>();

export class CallContext {
  readonly callId: string;
  readonly kind: RunningCall["kind"];
  /** The arguments as the model wrote them: JSON, or for a custom tool any text. */
  readonly raw: string;
  /** The turn's settings. */
  readonly config: ResolvedThreadConfig;
  readonly #host: CallHost;
  readonly #run: TurnRun;
  #failure: unknown;

  constructor(host: CallHost, run: TurnRun, call: Pick<RunningCall, "callId" | "kind"> & { raw: string }) {
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

  get historyMode(): HistoryMode {
    return this.#host.historyMode;
  }

  get turnId(): TurnId {
    return this.#run.turnId;
  }

  /** The user's turn that this one is a part of. */
  get rootTurnId(): TurnId {
    return this.#run.rootTurnId;
  }

  /** Fires when the turn is interrupted or the thread ends. */
  get signal(): AbortSignal {
    return this.#run.signal;
  }

  get clock(): Clock {
    return this.#host.clock;
  }

  get consents(): Consents {
    return this.#host.questions.approvals.consents;
  }

  get terminals(): Terminals {
    return this.#host.terminals;
  }

  /** The folders that the thread's commands may write, as they were when it began. */
  get folders(): HeldFolders {
    return this.#host.folders;
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

  /** The same call, with its arguments in another form. */
  withArguments(value: object): CallContext {
    const { callId, kind } = this;
    return new CallContext(this.#host, this.#run, { callId, kind, raw: JSON.stringify(value) });
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

  /** What work that may outlive its turn says, for as long as the thread is there to say it. */
  publishAlways(msg: EventMsg): void {
    this.#host.publish(this.#run.id, msg);
  }

  startItem(item: TurnItem): void {
    this.publish({ type: "item_started", thread_id: this.threadId, turn_id: this.turnId, item });
  }

  completeItem(item: TurnItem): void {
    this.publish({ type: "item_completed", thread_id: this.threadId, turn_id: this.turnId, item });
  }

  /**
   * Asks before the call does anything: a life that ends meanwhile leaves a call that can be begun anew. Otherwise as {@link ask}.
   */
  async askFirst(msg: ApprovalRequest): Promise<ReviewDecision> {
    void this.#host.noteAsking(this.#run, this.callId, "asking");
    const decision = await this.ask(msg);
    await this.#host.noteAsking(this.#run, this.callId, "begun");
    return decision;
  }

  /** Asks the thread's watchers, and waits for the first answer. An abort withdraws the question and rejects. */
  ask(msg: ApprovalRequest): Promise<ReviewDecision> {
    const { callId } = this;
    return approvalTracing.run(
      () => ({ ...this.#place, callId, kind: msg.type }),
      async (facts) => {
        const decision = await this.#ask(msg);
        if (facts !== undefined) facts.decision = decision;
        return decision;
      },
    );
  }

  #ask(msg: ApprovalRequest): Promise<ReviewDecision> {
    return this.#untilAnswered(msg, this.#host.questions.approvals.ask(this.#asked(msg), this.signal));
  }

  /** Asks the user what only they know, and waits for the first answer. An abort withdraws the questions and rejects. */
  askUser(questions: UserQuestion[]): Promise<UserAnswers> {
    const msg = { type: "request_user_input" as const, call_id: this.callId, turn_id: this.turnId, questions };
    return this.#untilAnswered(msg, this.#host.questions.ofModel.ask(this.#asked(msg), this.signal));
  }

  /** An MCP server asks the user. Whoever is never to be asked declines, as with Codex. An abort withdraws the question and rejects. */
  async elicit(server_name: string, request: Elicitation, signal: AbortSignal): Promise<ElicitationAnswer> {
    if (!asksForServers(this.config.approvalPolicy)) return { action: "decline" };
    const id = `${this.callId}-${randomUUID()}`;
    const { message } = request;
    const msg = {
      type: "elicitation_request",
      server_name,
      id,
      message,
      call_id: id,
      turn_id: this.turnId,
      request,
    } as const;
    return this.#untilAnswered(
      msg,
      this.#host.questions.ofServers.ask({ turn: this.#run.id, callId: id, msg }, signal),
    );
  }

  #asked = (msg: EventMsg) => ({ turn: this.#run.id, callId: this.callId, msg });

  async #untilAnswered<T>(msg: EventMsg, answer: Promise<T>): Promise<T> {
    const host = this.#host;
    host.signalTurn({ type: "approval.requested" });
    this.publish(msg);
    try {
      return await answer;
    } finally {
      host.signalTurn({ type: "approval.resolved" });
    }
  }

  /** What the work failed by, where its output tells the model of it. */
  get failure(): unknown {
    return this.#failure;
  }

  noteFailure(error: unknown): void {
    this.#failure = error;
  }

  /** For those who watch: where the call is made. */
  get #place(): { scope: object; threadId: ThreadId; turnId: TurnId } {
    return { scope: this.#host.env.scope, threadId: this.threadId, turnId: this.turnId };
  }

  /** What goes along with a request to an MCP server; undefined where nobody has anything to say. */
  metaFor(server: string, tool: string): Record<string, unknown> | undefined {
    if (!mcpRequestNotice.isWatched) return undefined;
    const meta: Record<string, unknown> = {};
    mcpRequestNotice.tell({ ...this.#place, callId: this.callId, server, tool, meta });
    return Object.keys(meta).length === 0 ? undefined : meta;
  }

  /** Runs after the turn's earlier work: what changes the machine goes one by one, in the order of the calls. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const lane = laneOf(this.#run);
    const mine = this.#after(lane.all, work);
    lane.all = settled(mine);
    lane.exclusive = lane.all;
    return mine;
  }

  /** Runs after the turn's earlier exclusive work, beside all other: what may wait for long holds up only what is exclusive. */
  sideBySide<T>(work: () => Promise<T>): Promise<T> {
    const lane = laneOf(this.#run);
    const mine = this.#after(lane.exclusive, work);
    lane.all = settled(Promise.all([lane.all, mine]));
    return mine;
  }

  async #after<T>(before: Promise<unknown>, work: () => Promise<T>): Promise<T> {
    await before;
    this.signal.throwIfAborted();
    return work();
  }
}

function laneOf(run: TurnRun): Lane {
  const known = lanes.get(run) ?? { exclusive: Promise.resolve(), all: Promise.resolve() };
  lanes.set(run, known);
  return known;
}

const settled = (work: Promise<unknown>): Promise<unknown> => work.catch(() => undefined);

export const durationOf = (ms: number): Duration => ({
  secs: Math.floor(ms / 1000),
  nanos: Math.round((ms % 1000) * 1_000_000),
});

/** The user said no. The message is the call's output. */
export class Rejection extends Error {}

/** Remembers what a decision allows from now on; `action` is what was asked about. @throws Rejection */
export function heed(decision: ReviewDecision, consents: Consents, action: string, refusal: string): void {
  if (decision === "denied" || decision === "abort") throw new Rejection(refusal);
  if (decision === "approved_for_session") consents.allow(action);
  else if (decision !== "approved") {
    consents.allowPrefix(decision.approved_execpolicy_amendment.proposed_execpolicy_amendment);
  }
}
