/**
 * What a thread asks its clients: approvals, and what its model asks the user. Ids come from one counter of the server.
 *
 * - Every subscriber is asked, also one that comes later. The first answer wins; the others are told by
 *   serverRequest/resolved.
 * - A client that answers with an error, or with what is no decision, declines; or gives no answers. v1 knows no questions. One that goes away leaves the
 *   question to the others, and to later clients.
 * - What an MCP server asks is cancelled where nobody is left to answer: its call would wait with it.
 * - When the turn ends, its questions are withdrawn in the same way.
 * - A server that drains waits for no answer that nobody is there to give: the turn that asked is interrupted.
 */

import { randomUUID } from "node:crypto";
import { onceAborted } from "../kernel/abort-listeners.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Elicitation, ElicitationAnswer } from "../protocol/elicitation.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { Op } from "../protocol/op.ts";
import type { ReviewDecision } from "../protocol/policy.ts";
import { NO_ANSWERS } from "../protocol/user-question.ts";
import type { QuestionAnswered } from "../turn/pending-approval.ts";
import {
  type AskedMsg,
  type ElicitationMsg,
  isApproval,
  isElicitation,
  isQuestion,
  type ToolCallMsg,
} from "./asked-msg.ts";
import type { Connection } from "./connection.ts";
import type { RequestId } from "./json-rpc.ts";
import type { OpenRequest } from "./open-request.ts";
import type { ServedThreads } from "./served-threads.ts";
import type { ThreadFeed } from "./thread-feed.ts";
import { decisionOf as v1Decision, approvalRequest as v1Request } from "./v1/approvals.ts";
import { decisionOf as v2Decision, approvalRequest as v2Request } from "./v2/approvals.ts";
import { toolCallRequest } from "./v2/dynamic-tools.ts";
import { CANCELLED, DECLINED, elicitationAnswerOf, elicitationRequest } from "./v2/elicitations.ts";
import { answersOf, userInputRequest } from "./v2/user-questions.ts";

type Asking = { readonly serverName: string; readonly asked: Elicitation; readonly signal: AbortSignal };

export class ServerRequests {
  readonly #manager: ServedThreads;
  readonly #clock: Clock;
  readonly #open = new Map<RequestId, OpenRequest>();
  /** Clients that see the approvals of all threads, and may give those that they were not asked for. */
  readonly #overseers = new Set<Connection>();
  #isDraining = false;
  #next = 0;

  constructor(manager: ServedThreads, clock: Clock) {
    this.#manager = manager;
    this.#clock = clock;
  }

  get size(): number {
    return this.#open.size;
  }

  open(feed: ThreadFeed, { turn, msg }: { turn: string; msg: EventMsg }): void {
    if (isApproval(msg) || isQuestion(msg) || isElicitation(msg)) this.#begin(feed, turn, msg);
  }

  /** The model calls a tool of the clients' own: they are asked, and whoever comes later, until one answers or the turn ends. */
  callTool(feed: ThreadFeed, msg: ToolCallMsg): void {
    this.#begin(feed, msg.turn_id, msg);
  }

  /** A server asks in a call that a client has made, and no turn. An abort withdraws the question. */
  elicit(feed: ThreadFeed, { serverName: server_name, asked, signal }: Asking): Promise<ElicitationAnswer> {
    return new Promise((answer) => {
      const call_id = randomUUID();
      const said = { server_name, id: call_id, call_id, turn_id: null, message: asked.message, request: asked };
      feed.tell(...feed.mapper.setStatus({ type: "active", activeFlags: ["waitingOnApproval"] }));
      this.#begin(feed, "", { type: "elicitation_request", ...said, answer });
      onceAborted(signal, () => this.settled({ threadId: feed.threadId, callId: call_id, decision: null }));
    });
  }

  #begin(feed: ThreadFeed, turn: string, msg: AskedMsg): void {
    const request: OpenRequest = {
      id: this.#next,
      feed,
      msg,
      turnId: feed.mapper.turn?.id ?? (msg.turn_id || turn),
      startedAt: this.#clock.now(),
      asked: new Map(),
      left: new WeakMap(),
    };
    this.#next += 1;
    this.#open.set(request.id, request);
    for (const { connection, looksOn } of feed.subscriptions.values()) {
      if (looksOn === undefined) this.#ask(request, connection);
    }
    this.#dismissUnasked(request);
  }

  /** The client sees what all threads want approved, until the returned function is called. */
  oversee(connection: Connection): () => void {
    this.#overseers.add(connection);
    return () => {
      this.#overseers.delete(connection);
      this.#dismissAllUnasked();
    };
  }

  /** The server is to end as soon as no turn runs. */
  drain(): void {
    this.#isDraining = true;
    this.#dismissAllUnasked();
  }

  #dismissAllUnasked(): void {
    for (const request of [...this.#open.values()]) this.#dismissUnasked(request);
  }

  /** A server that asks waits with its call: where nobody is there, it hears so at once. */
  #dismissUnasked(request: OpenRequest): void {
    const { asked, msg } = request;
    if (asked.size > 0) return;
    if (isElicitation(msg)) this.#elicited({ ...request, msg }, CANCELLED);
    else if (this.#isDraining && !(isApproval(msg) && this.#overseers.size > 0))
      this.#submit(request, { type: "interrupt" });
  }

  #elicited(request: OpenRequest<ElicitationMsg>, said: ElicitationAnswer): void {
    const { server_name, call_id: request_id } = request.msg;
    request.msg.answer?.(said);
    if (request.msg.answer !== undefined) this.#resolve(request, "approved");
    else {
      const { action: decision, content, meta } = said;
      const type = "resolve_elicitation" as const;
      this.#answer(request, "approved", { type, server_name, request_id, decision, content, meta });
    }
  }

  #ask(request: OpenRequest, connection: Connection): void {
    const dialect = request.feed.subscriptions.get(connection)?.isV2 ? "v2" : "v1";
    const { id, msg } = request;
    if (msg.type === "dynamic_tool_call") {
      if (dialect === "v1") return;
      request.feed.ask(connection, { id, ...toolCallRequest({ ...request, msg }) });
    } else if (isElicitation(msg)) {
      if (dialect === "v1") return;
      request.feed.ask(connection, { id, ...elicitationRequest({ ...request, msg }) });
    } else if (isQuestion(msg)) {
      if (dialect === "v1") return;
      request.feed.ask(connection, { id, ...userInputRequest({ ...request, msg }) });
    } else {
      const about = { ...request, msg };
      request.feed.ask(connection, { id, ...(dialect === "v2" ? v2Request(about) : v1Request(about)) });
    }
    request.asked.set(connection, dialect);
  }

  /** Asks a client that has just come what still waits for an answer. */
  replay(feed: ThreadFeed, connection: Connection): void {
    this.#adopt(feed);
    for (const request of this.#open.values()) {
      if (request.feed.threadId === feed.threadId && !request.asked.has(connection)) this.#ask(request, connection);
    }
  }

  /** Questions that the thread had asked before anybody listened. */
  #adopt(feed: ThreadFeed): void {
    const known = new Set([...this.#open.values()].map(({ msg }) => msg.call_id));
    const thread = this.#manager.loadedThread(feed.threadId);
    for (const { turn, msg, callId } of [
      ...(thread?.pendingApprovals ?? []),
      ...(thread?.pendingUserQuestions ?? []),
    ]) {
      if (!known.has(callId)) this.open(feed, { turn, msg });
    }
  }

  onAnswer(connection: Connection, { id, result, failed }: { id: RequestId; result?: unknown; failed: boolean }): void {
    const request = this.#open.get(id);
    const dialect = request?.asked.get(connection) ?? request?.left.get(connection);
    if (request === undefined || dialect === undefined) return;
    const { msg } = request;
    if (msg.type === "dynamic_tool_call") {
      this.#open.delete(request.id);
      msg.answer(failed ? undefined : result);
      return;
    }
    if (isElicitation(msg)) {
      this.#elicited({ ...request, msg }, failed ? DECLINED : elicitationAnswerOf(result));
      return;
    }
    if (isQuestion(msg)) {
      const response = failed ? NO_ANSWERS : answersOf(result);
      this.#answer(request, "approved", { type: "user_input_answer", id: msg.call_id, response });
      return;
    }
    const decide = dialect === "v2" ? v2Decision : v1Decision;
    const decision = failed ? "denied" : decide(result);
    const type = msg.type === "exec_approval_request" ? ("exec_approval" as const) : ("patch_approval" as const);
    this.#answer(request, decision, { type, id: msg.call_id, decision });
  }

  #answer(request: OpenRequest, decision: ReviewDecision, op: Op): void {
    this.#resolve(request, decision);
    this.#submit(request, op);
  }

  #submit({ feed }: OpenRequest, op: Op): void {
    const thread = this.#manager.loadedThread(feed.threadId);
    thread?.submit(op).catch(() => undefined);
  }

  /** Somebody has answered who was not asked: those who were are told. */
  settled({ threadId, callId, decision }: QuestionAnswered): void {
    for (const request of [...this.#open.values()]) {
      if (request.feed.threadId === threadId && request.msg.call_id === callId) {
        this.#resolve(request, decision ?? "approved");
      }
    }
  }

  #resolve(request: OpenRequest, decision: ReviewDecision): void {
    this.#open.delete(request.id);
    const { feed, id, msg } = request;
    // Nobody is told, as with stock Codex: an answer that comes later counts for nothing.
    if (msg.type === "dynamic_tool_call") {
      msg.answer(undefined);
      return;
    }
    if (isElicitation(msg)) msg.answer?.(CANCELLED);
    const { threadId, mapper } = feed;
    feed.tell({ method: "serverRequest/resolved", params: { threadId, requestId: id } });
    if (decision === "denied" || decision === "abort") feed.tell(...mapper.declined(msg.call_id, this.#clock.now()));
    const others = [...this.#open.values()].some((each) => each.feed.threadId === threadId);
    if (others) return;
    if (mapper.turn !== undefined) feed.tell(...mapper.setStatus({ type: "active", activeFlags: [] }));
    else if (isElicitation(msg)) feed.tell(...mapper.setStatus({ type: "idle" }));
  }

  /** The turn has ended: nobody is asked any more. */
  withdraw(feed: ThreadFeed): void {
    for (const request of [...this.#open.values()])
      if (request.feed.threadId === feed.threadId) this.#resolve(request, "abort");
  }

  /** The client follows the thread no more. */
  forget(feed: ThreadFeed, connection: Connection): void {
    for (const request of [...this.#open.values()]) {
      const dialect = request.asked.get(connection);
      if (request.feed.threadId !== feed.threadId || dialect === undefined) continue;
      request.asked.delete(connection);
      request.left.set(connection, dialect);
      this.#dismissUnasked(request);
    }
  }
}
