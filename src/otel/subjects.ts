/** Each kind of traced work as spans and metrics. */
import type { Attributes, Context, Link } from "@opentelemetry/api";
import type { SpawnTrace } from "../manager/spawn-trace.ts";
import type { TokenUsage } from "../protocol/token-usage.ts";
import type { LeaseTrace, StoreWriteTrace } from "../thread/store-traces.ts";
import type {
  ApprovalTrace,
  McpRequestNotice,
  ModelTrace,
  SlotTrace,
  SubmitNotice,
  ToolTrace,
  TurnTrace,
} from "../turn/traces.ts";
import type { Api } from "./api.ts";
import { contentText, instructionsOf, messagesOf } from "./content.ts";
import { failureOf, turnFailureOf } from "./failure.ts";
import type { Metrics } from "./metrics.ts";
import * as names from "./names.ts";
import type { SpanBook } from "./span-book.ts";

type Place = { readonly threadId: string; readonly turnId: string };

const turnKey = ({ threadId, turnId }: Place): string => `turn ${threadId} ${turnId}`;
const toolKey = ({ threadId, turnId, callId }: Place & { readonly callId: string }): string =>
  `tool ${threadId} ${turnId} ${callId}`;
const spawnKey = (threadId: string): string => `spawn ${threadId}`;

/** What hangs on a turn: how many requests and calls it has made. */
type Counts = { requests: number; calls: number };

export class Subjects {
  readonly #api: Api;
  readonly #spans: SpanBook;
  readonly #metrics: Metrics;
  readonly #recordsContent: boolean;
  readonly #counts = new Map<string, Counts>();
  /** The key of the turn that a thread is in. */
  readonly #turnOf = new Map<string, string>();

  constructor(api: Api, spans: SpanBook, metrics: Metrics, { recordsContent }: { recordsContent: boolean }) {
    this.#api = api;
    this.#spans = spans;
    this.#metrics = metrics;
    this.#recordsContent = recordsContent;
  }

  /** Content is made only where it is wanted. */
  #content(attributes: () => Attributes): Attributes {
    return this.#recordsContent ? attributes() : {};
  }

  submitted({ threadId, submissionId }: SubmitNotice): void {
    this.#spans.asked.set(`${threadId} ${submissionId}`, this.#api.context.active());
  }

  // Threads.

  spawnBegins(work: SpawnTrace): void {
    const { threadId, purpose, role, nickname, parentThreadId, provider, model } = work;
    const name = role ?? nickname;
    if (name !== undefined) this.#spans.names.set(threadId, name);
    const isNew = purpose === "create";
    this.#spans.begin(work, {
      name: [isNew ? "create_agent" : "load_thread", ...(name === undefined ? [] : [name])].join(" "),
      kind: this.#api.SpanKind.INTERNAL,
      key: spawnKey(threadId),
      parent: this.#spans.here(),
      attributes: {
        ...(isNew && { [names.OPERATION]: "create_agent" }),
        ...this.#agent(threadId),
        [names.PROVIDER]: provider,
        [names.REQUEST_MODEL]: model,
        [names.PURPOSE]: purpose,
        ...(parentThreadId !== undefined && { [names.PARENT_THREAD]: parentThreadId }),
      },
    });
  }

  spawnEnds(work: SpawnTrace): void {
    const { threadId, origin, epoch, forkedFrom, purpose, error } = work;
    const span = this.#spans.spanOf(work);
    if (span !== undefined && error === undefined) this.#spans.born.set(threadId, span.spanContext());
    const source = forkedFrom === undefined ? undefined : this.#spans.lastTurns.get(forkedFrom)?.context;
    if (source !== undefined) span?.addLink({ context: source, attributes: { [names.LINK]: "forked_from" } });
    const facts = {
      ...(origin !== undefined && { [names.ORIGIN]: origin }),
      ...(epoch !== undefined && { [names.EPOCH]: epoch }),
      ...(forkedFrom !== undefined && { [names.FORKED_FROM]: forkedFrom }),
    };
    const failure = error === undefined ? undefined : failureOf(error);
    const seconds = this.#spans.end(work, facts, failure);
    this.#record("spawn", seconds, { [names.PURPOSE]: purpose, ...(failure && { [names.ERROR_TYPE]: failure.type }) });
  }

  #agent(threadId: string): Attributes {
    const name = this.#spans.names.get(threadId);
    return {
      [names.AGENT_ID]: threadId,
      [names.CONVERSATION_ID]: threadId,
      ...(name !== undefined && { [names.AGENT_NAME]: name }),
    };
  }

  // Turns.

  turnBegins(work: TurnTrace): void {
    const { threadId, submissionId, turnId, epoch, provider, model } = work;
    const { parent, links } = this.#originOf(threadId, submissionId);
    const before = this.#spans.lastTurns.get(threadId);
    if (before?.turnId === turnId) links.push({ context: before.context, attributes: { [names.LINK]: "continues" } });
    const name = this.#spans.names.get(threadId);
    this.#counts.set(turnKey(work), { requests: 0, calls: 0 });
    this.#turnOf.set(threadId, turnKey(work));
    this.#spans.begin(work, {
      name: name === undefined ? "invoke_agent" : `invoke_agent ${name}`,
      kind: this.#api.SpanKind.INTERNAL,
      key: turnKey(work),
      parent,
      links,
      attributes: {
        [names.OPERATION]: "invoke_agent",
        ...this.#agent(threadId),
        [names.PROVIDER]: provider,
        [names.REQUEST_MODEL]: model,
        [names.TURN_ID]: turnId,
        [names.SUBMISSION_ID]: submissionId,
        [names.EPOCH]: epoch,
      },
    });
  }

  /**
   * A turn is a part of what its caller does, such as a request of HTTP. One that another turn has caused is a trace of its
   * own, with a link to it: agents run for hours beside whoever started them.
   */
  #originOf(threadId: string, submissionId: string): { parent: Context; links: Link[] } {
    const { trace } = this.#api;
    const key = `${threadId} ${submissionId}`;
    const asked = this.#spans.asked.get(key) ?? this.#api.ROOT_CONTEXT;
    this.#spans.asked.delete(key);
    const links: Link[] = [];
    const born = this.#spans.born.get(threadId);
    this.#spans.born.delete(threadId);
    if (born !== undefined) links.push({ context: born, attributes: { [names.LINK]: "created_by" } });
    if (!this.#spans.isOfTurn(asked)) return { parent: asked, links };
    const asker = this.#spans.ownIn(asked)?.spanContext();
    if (asker !== undefined) links.push({ context: asker, attributes: { [names.LINK]: "asked_by" } });
    return { parent: trace.deleteSpan(asked), links };
  }

  turnEnds(work: TurnTrace): void {
    const { threadId, turnId, outcome, model, error } = work;
    const span = this.#spans.spanOf(work);
    if (span !== undefined) this.#spans.lastTurns.set(threadId, { turnId, context: span.spanContext() });
    const usage = outcome?.turn_token_usage ?? undefined;
    const failure =
      turnFailureOf(outcome) ?? (outcome === undefined && error !== undefined ? failureOf(error) : undefined);
    const seconds = this.#spans.end(work, usage === undefined ? {} : tokensOf(usage), failure);
    const name = this.#spans.names.get(threadId);
    const agent = name === undefined ? {} : { [names.AGENT_NAME]: name };
    this.#record("turn", seconds, {
      ...agent,
      [names.REQUEST_MODEL]: model,
      ...(failure && { [names.ERROR_TYPE]: failure.type }),
    });
    const counts = this.#counts.get(turnKey(work));
    this.#counts.delete(turnKey(work));
    if (this.#turnOf.get(threadId) === turnKey(work)) this.#turnOf.delete(threadId);
    if (counts === undefined) return;
    this.#metrics.turnRequests.record(counts.requests, agent);
    this.#metrics.turnCalls.record(counts.calls, agent);
  }

  // Model requests.

  modelBegins(work: ModelTrace): void {
    const { threadId, turnId, provider, request } = work;
    const counts = this.#counts.get(turnKey(work));
    if (counts !== undefined) counts.requests += 1;
    this.#spans.begin(work, {
      name: `chat ${request.model}`,
      kind: this.#api.SpanKind.CLIENT,
      key: `model ${threadId} ${turnId}`,
      parent: this.#spans.under(turnKey(work)),
      attributes: {
        [names.OPERATION]: "chat",
        ...this.#agent(threadId),
        [names.PROVIDER]: provider,
        [names.REQUEST_MODEL]: request.model,
        [names.TURN_ID]: turnId,
        ...(request.outputSchema !== undefined && { [names.OUTPUT_TYPE]: "json" }),
        ...this.#content(() => ({
          [names.INPUT_MESSAGES]: messagesOf(request.input),
          [names.SYSTEM_INSTRUCTIONS]: instructionsOf(request.instructions),
        })),
      },
    });
  }

  modelEnds(work: ModelTrace): void {
    const { usage, responseId, firstWordMs, output, provider, request, error } = work;
    const failure = error === undefined ? undefined : failureOf(error);
    const facts = {
      ...(responseId !== undefined && { [names.RESPONSE_ID]: responseId }),
      ...(firstWordMs !== undefined && { [names.TIME_TO_FIRST_CHUNK]: firstWordMs / 1000 }),
      ...(usage !== undefined && tokensOf(usage)),
      ...this.#content(() => ({ [names.OUTPUT_MESSAGES]: messagesOf(output) })),
    };
    const seconds = this.#spans.end(work, facts, failure);
    const about = { [names.OPERATION]: "chat", [names.PROVIDER]: provider, [names.REQUEST_MODEL]: request.model };
    this.#record("request", seconds, { ...about, ...(failure && { [names.ERROR_TYPE]: failure.type }) });
    if (firstWordMs !== undefined) this.#metrics.firstChunk.record(firstWordMs / 1000, about);
    if (usage !== undefined) this.#metrics.countTokens(usage, about);
  }

  // Tools.

  toolBegins(work: ToolTrace): void {
    const { threadId, callId, turnId, name, namespace } = work;
    const counts = this.#counts.get(turnKey(work));
    if (counts !== undefined) counts.calls += 1;
    this.#spans.begin(work, {
      name: `execute_tool ${namespace ?? ""}${name}`,
      kind: this.#api.SpanKind.INTERNAL,
      key: toolKey(work),
      parent: this.#spans.under(turnKey(work)),
      attributes: {
        [names.OPERATION]: "execute_tool",
        ...this.#agent(threadId),
        [names.TURN_ID]: turnId,
        [names.TOOL_NAME]: `${namespace ?? ""}${name}`,
        [names.TOOL_TYPE]: "function",
        [names.TOOL_CALL_ID]: callId,
        ...this.#content(() => ({ [names.TOOL_ARGUMENTS]: contentText(work.arguments) })),
      },
    });
  }

  toolEnds(work: ToolTrace): void {
    const { output, name, error } = work;
    const failure = error === undefined ? undefined : failureOf(error);
    const result = typeof output === "string" ? output : JSON.stringify(output);
    const facts = this.#content(() => (result === undefined ? {} : { [names.TOOL_RESULT]: contentText(result) }));
    const seconds = this.#spans.end(work, facts, failure);
    this.#record("tool", seconds, {
      [names.TOOL_NAME]: name,
      ...(failure && { [names.ERROR_TYPE]: failure.type }),
    });
  }

  /** The call's span covers the request, so it has no span of its own; the server's spans hang under it (MCP's SEP-414). */
  mcpRequested(notice: McpRequestNotice): void {
    const { propagation } = this.#api;
    const span = this.#spans.at(toolKey(notice));
    span?.setAttributes({ [names.MCP_METHOD]: "tools/call", [names.TOOL_TYPE]: "extension" });
    propagation.inject(this.#spans.under(toolKey(notice), turnKey(notice)), notice.meta);
  }

  // Waits.

  approvalBegins(work: ApprovalTrace): void {
    const { callId, kind, threadId, turnId } = work;
    this.#spans.begin(work, {
      name: "await_approval",
      kind: this.#api.SpanKind.INTERNAL,
      key: `approval ${threadId} ${callId}`,
      parent: this.#spans.under(toolKey(work), turnKey(work)),
      attributes: {
        ...this.#agent(threadId),
        [names.TURN_ID]: turnId,
        [names.TOOL_CALL_ID]: callId,
        [names.KIND]: kind,
      },
    });
  }

  approvalEnds(work: ApprovalTrace): void {
    const { decision, error, kind } = work;
    const said = typeof decision === "object" ? "approved_execpolicy_amendment" : decision;
    const facts = said === undefined ? {} : { [names.DECISION]: said };
    const failure = error === undefined ? undefined : failureOf(error);
    this.#record("approval", this.#spans.end(work, facts, failure), { [names.KIND]: kind, ...facts });
  }

  storeWriteBegins(work: StoreWriteTrace): void {
    const { threadId, turnId, kind } = work;
    const key = turnId === undefined ? "" : turnKey({ threadId, turnId });
    this.#wait(work, `store_${kind}`, { key: `store ${threadId}`, under: key });
  }

  storeWriteEnds(work: StoreWriteTrace): void {
    this.#waited("storeWrite", work);
  }

  /** A turn of an own logic waits before it begins, and so only is timed. */
  slotBegins(work: SlotTrace): void {
    const { threadId } = work;
    this.#wait(work, "await_slot", { key: `slot ${threadId}`, under: this.#turnOf.get(threadId) ?? "" });
  }

  slotEnds(work: SlotTrace): void {
    this.#waited("slot", work);
  }

  leaseBegins(work: LeaseTrace): void {
    const { threadId, kind } = work;
    this.#wait(work, `lease_${kind}`, { key: `lease ${threadId}`, under: spawnKey(threadId) });
  }

  leaseEnds(work: LeaseTrace): void {
    this.#waited("lease", work);
  }

  #begun = new WeakMap<object, number>();

  /** A wait has a span where it is a part of something that has one; else it is only timed. */
  #wait(
    work: StoreWriteTrace | LeaseTrace | SlotTrace,
    name: string,
    { key, under }: { key: string; under: string },
  ): void {
    this.#begun.set(work, performance.now());
    const { threadId, kind } = work;
    if (this.#spans.at(under) === undefined) return;
    this.#spans.begin(work, {
      name,
      kind: this.#api.SpanKind.INTERNAL,
      key,
      parent: this.#spans.under(under),
      attributes: { ...this.#agent(threadId), [names.KIND]: kind },
    });
  }

  #waited(metric: "storeWrite" | "lease" | "slot", work: StoreWriteTrace | LeaseTrace | SlotTrace): void {
    const failure = work.error === undefined ? undefined : failureOf(work.error);
    this.#spans.end(work, {}, failure);
    const begun = this.#begun.get(work);
    const seconds = begun === undefined ? undefined : (performance.now() - begun) / 1000;
    this.#record(metric, seconds, {
      [names.KIND]: work.kind,
      ...(failure && { [names.ERROR_TYPE]: failure.type }),
    });
  }

  #record(
    metric: "spawn" | "turn" | "request" | "tool" | "approval" | "storeWrite" | "lease" | "slot",
    seconds: number | undefined,
    attributes: Attributes,
  ): void {
    if (seconds !== undefined) this.#metrics[metric].record(seconds, attributes);
  }
}

const tokensOf = ({
  input_tokens,
  cached_input_tokens,
  output_tokens,
  reasoning_output_tokens,
}: TokenUsage): Attributes => ({
  [names.INPUT_TOKENS]: input_tokens,
  [names.CACHED_TOKENS]: cached_input_tokens,
  [names.OUTPUT_TOKENS]: output_tokens,
  [names.REASONING_TOKENS]: reasoning_output_tokens,
});
