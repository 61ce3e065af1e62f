/**
 * The calls of one answer, run side by side. A call never fails the turn: whatever goes wrong is its output.
 *
 * Outputs are recorded in the order of the calls. On interrupt a call has `TOOL_GRACE_MS` to end by itself; then it is
 * abandoned, and its output says so.
 */
import { raceAbort } from "../kernel/cancellation.ts";
import { type Clock, elapsedBy, sleep } from "../kernel/clock.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ApprovalQuestion, Tool } from "../protocol/function-tool.ts";
import { type ContentItem, functionCallOutput, noToolsFound, type ResponseItem } from "../protocol/response-item.ts";
import type { DynamicToolCallTurnItem, ToolCallContent } from "../protocol/turn-item.ts";
import { recordItem } from "./announcement.ts";
import { askApproval } from "./tool-approval.ts";
import { type ToolOutput, truncateMiddle } from "./tool-output.ts";
import { inCall } from "./tool-scope.ts";
import type { BuiltInTool } from "./tools/built-in-tool.ts";
import { CallContext } from "./tools/call-context.ts";
import { toolTracing } from "./traces.ts";
import type { TurnHost } from "./turn-host.ts";
import type { RunningCall, TurnRun } from "./turn-run.ts";

/** Codex's: what a task gets to end by itself after an interrupt. */
export const TOOL_GRACE_MS = 100;

/** Starts the work that an item asks for, if it asks for any that is ours. */
export function startCall(host: TurnHost, run: TurnRun, item: ResponseItem): void {
  if (!isCall(item)) return;
  const callId = item.call_id;
  if (callId === undefined || callId === null) return;
  const name = nameOf(item);
  const namespace = item.type === "function_call" ? item.namespace : undefined;
  const raw = item.type === "function_call" ? item.arguments : item.type === "custom_tool_call" ? item.input : "";
  const call: RunningCall = {
    callId,
    kind: item.type,
    name,
    namespace,
    startedAt: elapsedBy(host.clock),
    settled: false,
    failure: undefined,
    output: Promise.resolve(""),
    tellEnd: undefined,
  };
  call.output = run.calls.some((other) => other.callId === callId)
    ? settled(call, Promise.resolve(`duplicate call id: ${callId}`))
    : settled(
        call,
        inCall(host, run, () => watchedAnswer(host, run, call, raw)),
      );
  run.calls.push(call);
}

type Call = Extract<ResponseItem, { type: RunningCall["kind"] }>;

const isCall = (item: ResponseItem): item is Call =>
  item.type === "function_call" ||
  item.type === "custom_tool_call" ||
  item.type === "local_shell_call" ||
  (item.type === "tool_search_call" && item.execution === "client");

function nameOf(call: Call): string {
  switch (call.type) {
    case "local_shell_call":
      return "local_shell";
    case "tool_search_call":
      return "tool_search";
    default:
      return call.name;
  }
}

function settled(call: RunningCall, output: Promise<ToolOutput>): Promise<ToolOutput> {
  return output.then((result) => {
    call.settled = true;
    return result;
  });
}

function watchedAnswer(host: TurnHost, run: TurnRun, call: RunningCall, raw: string): Promise<ToolOutput> {
  const { callId, name, namespace } = call;
  const { threadId, env } = host;
  return toolTracing.run(
    () => ({ scope: env.scope, threadId, turnId: run.turnId, callId, name, namespace, arguments: raw }),
    async (facts) => {
      const output = await answer(host, run, call, raw);
      if (facts !== undefined) facts.output = output;
      if (facts !== undefined && call.failure !== undefined) facts.error = call.failure;
      return output;
    },
  );
}

async function answer(host: TurnHost, run: TurnRun, call: RunningCall, raw: string): Promise<ToolOutput> {
  const { callId, kind, name, namespace, startedAt } = call;
  const builtIn = host.tools.current.builtIn(name, namespace);
  if (builtIn !== undefined) return answerBuiltIn(builtIn, new CallContext(host, run, { callId, kind, raw }), call);
  const tool = host.tools.current.get(name, namespace);
  if (tool === undefined) {
    const what = kind === "custom_tool_call" ? "custom tool call" : "call";
    const refusal = `unsupported ${what}: ${namespace ?? ""}${name}`;
    call.failure = new InvalidRequestError(refusal);
    return refusal;
  }
  if (tool.isQuiet === true) return (await outcomeOf(tool, raw, { host, run, call }))[1];
  const place = { thread_id: host.threadId, turn_id: run.turnId };
  const about = namespace === undefined ? {} : { namespace };
  const item = { type: "DynamicToolCall" as const, id: callId, ...about, tool: name, arguments: raw };
  host.publish(run.id, { type: "item_started", ...place, item: { ...item, status: "in_progress" } });
  call.tellEnd = (status, output) => {
    call.tellEnd = undefined;
    const duration_ms = elapsedBy(host.clock) - startedAt;
    const told = typeof output === "string" ? { output } : shownParts(output);
    host.publish(run.id, { type: "item_completed", ...place, item: { ...item, status, ...told, duration_ms } });
  };
  const [status, output] = await outcomeOf(tool, raw, { host, run, call });
  call.tellEnd?.(status, output);
  return output;
}

async function outcomeOf(
  tool: Tool,
  raw: string,
  { host, run, call }: { host: TurnHost; run: TurnRun; call: RunningCall },
): Promise<["completed" | "failed", ToolOutput]> {
  try {
    const { callId, kind, name } = call;
    const place = new CallContext(host, run, { callId, kind, raw });
    const context = {
      threadId: host.threadId,
      turnId: run.turnId,
      callId,
      signal: run.signal,
      askApproval: (question?: ApprovalQuestion) => askApproval(place, name, question),
    };
    const question = await tool.asksFirst?.(raw, context);
    if (question !== undefined) await askApproval(place, name, question, (msg) => place.askFirst(msg));
    if (tool.answer !== undefined) {
      const { success, output } = await tool.answer(raw, context);
      return [success ? "completed" : "failed", typeof output === "string" ? truncateMiddle(output) : output];
    }
    const output: unknown = await tool.call(raw, context);
    if (typeof output !== "string") throw new InvalidRequestError(`tool \`${name}\` answered with no text`);
    return ["completed", truncateMiddle(output.toWellFormed())];
  } catch (error) {
    call.failure = run.signal.aborted ? run.signal.reason : error;
    return ["failed", run.signal.aborted ? abortedText(host.clock, call.startedAt) : textOfThrown(error)];
  }
}

/** An answer of several parts, as an item has it. */
function shownParts(parts: readonly ContentItem[]): Pick<DynamicToolCallTurnItem, "output" | "content_items"> {
  const content_items = parts.flatMap((part): ToolCallContent[] => {
    if (part.type === "input_text" && typeof part.text === "string") return [{ type: "inputText", text: part.text }];
    if (part.type !== "input_image" || typeof part.image_url !== "string") return [];
    return [{ type: "inputImage", imageUrl: part.image_url }];
  });
  const texts = content_items.flatMap((part) => (part.type === "inputText" ? [part.text] : []));
  return { output: texts.join("\n"), content_items };
}

async function answerBuiltIn(tool: BuiltInTool, call: CallContext, running: RunningCall): Promise<ToolOutput> {
  const { startedAt } = running;
  try {
    const output = await tool.run(call);
    running.failure = call.failure;
    return output;
  } catch (error) {
    running.failure = call.signal.aborted ? call.signal.reason : error;
    return call.signal.aborted ? abortedText(call.clock, startedAt) : textOfThrown(error);
  }
}

const abortedText = (clock: Clock, startedAt: number): string =>
  `Wall time: ${((elapsedBy(clock) - startedAt) / 1000).toFixed(1)} seconds\naborted by user`;

/** Waits for every call of the last answer and records the outputs. Rejects with the reason of the turn's abort. */
export async function finishCalls(host: TurnHost, run: TurnRun): Promise<void> {
  while (run.calls.length > 0) {
    const [call] = run.calls;
    if (call === undefined) return;
    const output = await raceAbort(call.output, run.signal);
    run.calls.shift();
    recordOutput(host, run, call, output);
  }
}

/** After an abort: gives the calls their grace, then records an output for each, whatever became of it. */
export async function settleCalls(host: TurnHost, run: TurnRun): Promise<void> {
  if (run.calls.some((call) => !call.settled)) await grace(host, run.calls);
  for (const call of run.calls.splice(0)) {
    recordOutput(host, run, call, call.settled ? await call.output : abandon(host, call));
  }
}

/** What the work comes to later is nobody's concern any more. */
export function abandon(host: TurnHost, call: RunningCall): string {
  const output = abortedText(host.clock, call.startedAt);
  call.tellEnd?.("failed", output);
  return output;
}

async function grace(host: TurnHost, calls: readonly RunningCall[]): Promise<void> {
  const timer = new AbortController();
  const all = Promise.all(calls.map((call) => call.output));
  const timeUp = sleep(host.clock, TOOL_GRACE_MS, timer.signal).catch(() => undefined);
  await Promise.race([all, timeUp]);
  timer.abort();
}

/** The call's output enters the history. */
export const recordOutput = (host: TurnHost, run: TurnRun, call: RunningCall, output: ToolOutput): void =>
  recordItem(host, run.id, outputOf(call, output));

/** As {@link recordOutput}, of a call that no life of the thread runs. */
export function recordOutputOf(host: TurnHost, run: TurnRun, item: ResponseItem, output: string): void {
  if (!("call_id" in item) || typeof item.call_id !== "string") return;
  const kind = item.type === "custom_tool_call" || item.type === "tool_search_call" ? item.type : "function_call";
  recordItem(host, run.id, outputOf({ kind, callId: item.call_id }, output));
}

/** As the model receives it. */
export function outputOf({ kind, callId }: Pick<RunningCall, "kind" | "callId">, output: ToolOutput): ResponseItem {
  switch (kind) {
    case "custom_tool_call":
      return { type: "custom_tool_call_output", call_id: callId, output };
    case "tool_search_call":
      return noToolsFound(callId);
    default:
      return functionCallOutput(callId, output);
  }
}
