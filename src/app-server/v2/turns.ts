/** turn/start, steer and interrupt; compaction and injected items. */
import * as z from "zod";
import { newTurnId } from "../../protocol/ids.ts";
import type { ResponseItem } from "../../protocol/response-item.ts";
import type { UserInput } from "../../protocol/user-input.ts";
import { PICTURE_ALONE } from "../../store/thread-summary.ts";
import type { ActiveTurn } from "../../thread/thread.ts";
import { readItem } from "../given-items.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { loose, optionalText, text } from "../params.ts";
import { INTERNAL_ERROR, INVALID_PARAMS, invalidRequest, RpcError } from "../rpc-error.ts";
import type { ServedThread } from "../served-threads.ts";
import type { ServerContext } from "../server-context.ts";
import { submitInput, threadOf } from "../thread-ops.ts";
import { additionalContextSchema, tellContext } from "./additional-context.ts";
import { inputFromV2, type V2Input, v2InputSchema } from "./input.ts";
import { turnInProgress } from "./map-events.ts";
import { passedOver } from "./passed-over.ts";
import { changeSettings, settingsFields } from "./thread-settings.ts";
import { readThreadId } from "./thread-source.ts";
import { asInput, outputFromV2, toolOutputSchema } from "./tool-output.ts";
import type { V2Turn } from "./wire-types.ts";

const startSchema = z.object({
  threadId: text,
  input: z.array(v2InputSchema),
  clientUserMessageId: optionalText,
  ...settingsFields,
  ...passedOver.turn,
  toolOutput: toolOutputSchema.nullish(),
  additionalContext: additionalContextSchema,
  outputSchema: z.unknown().optional(),
});
const steerSchema = z.object({
  threadId: text,
  input: z.array(v2InputSchema),
  expectedTurnId: text,
  clientUserMessageId: optionalText,
  ...passedOver.steer,
  additionalContext: additionalContextSchema,
});
const interruptSchema = z.object({ threadId: text, turnId: text });
const injectSchema = z.object({ threadId: text, items: z.array(z.unknown()) });

const START_EXPERIMENTAL = [
  ...["additionalContext", "collaborationMode", "cyberAccessProgram", "environments", "multiAgentMode", "permissions"],
  ...["responsesapiClientMetadata", "responsesapiClientMetadataPatch", "runtimeWorkspaceRoots"],
];
const STEER_EXPERIMENTAL = ["additionalContext", "responsesapiClientMetadata", "responsesapiClientMetadataPatch"];

export const turnMethods = (server: ServerContext): MethodTable => ({
  "turn/start": method({
    params: loose(startSchema),
    experimental: START_EXPERIMENTAL,
    handle: (params, call) => start(server, params, call),
  }),
  "turn/steer": method({
    params: loose(steerSchema),
    experimental: STEER_EXPERIMENTAL,
    handle: (params, call) => steer(server, params, call),
  }),
  "turn/interrupt": method({ params: interruptSchema, handle: (params, call) => interrupt(server, params, call) }),
  "thread/compact/start": method({
    params: z.object({ threadId: text }),
    handle: async (params, call) => {
      const thread = await threadOf(server, readThreadId(params.threadId), call.signal);
      call.finally(server.hub.feedOf(thread.id).hold(call.connection));
      await thread.submitWithId({ id: newTurnId(), isNew: true, op: { type: "compact" } }, { signal: call.signal });
      return {};
    },
  }),
  "thread/inject_items": method({
    params: injectSchema,
    handle: async (params, call) => {
      const thread = await threadOf(server, readThreadId(params.threadId), call.signal);
      if (params.items.length === 0) throw invalidRequest("items must not be empty");
      const items = params.items.map(checkedItem);
      await thread.submitWithId(
        { id: newTurnId(), isNew: true, op: { type: "inject_items", items } },
        { signal: call.signal },
      );
      return {};
    },
  }),
});

function checkedItem(item: unknown, index: number): ResponseItem {
  const read = readItem(item);
  if (typeof read !== "string") return read;
  throw invalidRequest(`items[${index}] is not a valid response item: ${read}`);
}

async function start(
  server: ServerContext,
  params: z.infer<typeof startSchema>,
  call: Call,
): Promise<{ turn: V2Turn }> {
  const thread = await threadOf(server, readThreadId(params.threadId), call.signal);
  const items = itemsOf(params);
  checkInput(items, thread.activeTurn);
  await changeSettings(server, thread, params, call);
  if (thread.activeTurn === undefined) warnOfModel(server, thread);
  call.finally(server.hub.feedOf(thread.id).hold(call.connection));
  await tellContext(thread, params.additionalContext, call.signal);
  const { input, outputSchema, clientUserMessageId } = params;
  const submitted = await submitInput(
    server,
    thread,
    { items, outputSchema, clientId: clientUserMessageId },
    call.signal,
  );
  notePreview(server, thread.id, input);
  return { turn: turnInProgress(submitted.turnId, null) };
}

/** What the turn begins with: the user's input, or in its place what a tool of the client's has come to. @throws RpcError */
function itemsOf({ input, toolOutput }: z.infer<typeof startSchema>): UserInput[] {
  if (toolOutput != null && input.length > 0) {
    throw invalidRequest("`toolOutput` cannot be combined with nonempty `input`");
  }
  checkContent(toolOutput == null ? input : asInput(toolOutput));
  return toolOutput == null ? input.map(inputFromV2) : [outputFromV2(toolOutput)];
}

/** Of all texts of an input together, in characters: Codex's. */
const MOST_CHARS = 1_048_576;

/** @throws RpcError for an input that no model is given */
export function checkContent(input: readonly V2Input[]): void {
  const isRemote = input.some((item) => item.type === "image" && /^https?:/i.test(item.url ?? ""));
  if (isRemote) throw invalidRequest("remote image URLs are not supported; use an inline data URL instead");
  const texts = input.flatMap((item) => (item.type === "text" ? [item.text] : []));
  const units = texts.reduce((sum, each) => sum + each.length, 0);
  if (units <= MOST_CHARS) return;
  const actual_chars = texts.reduce((sum, each) => sum + charsOf(each), 0);
  if (actual_chars <= MOST_CHARS) return;
  throw new RpcError(INVALID_PARAMS, `Input exceeds the maximum length of ${MOST_CHARS} characters.`, {
    details: { input_error_code: "input_too_large", max_chars: MOST_CHARS, actual_chars },
  });
}

/** Characters, where JavaScript counts halves of some. */
const charsOf = (given: string): number => given.length - (given.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);

/** Whether the running turn, if there is one, may take the input. @throws RpcError */
function checkInput(input: readonly unknown[], running: ActiveTurn | undefined): void {
  const refused = (why: string) => new RpcError(INTERNAL_ERROR, `failed to submit turn input: ${why}`, REFUSED);
  const kind = unsteerable(running);
  if (kind !== undefined)
    throw refused(`ActiveTurnNotSteerable { turn_kind: ${kind === "review" ? "Review" : "Compact"} }`);
  if (running !== undefined && input.length === 0) throw refused("EmptyInput");
}

const REFUSED = { code: "invalid_request" } as const;

/** A compaction and a review take no input until they have ended. */
const unsteerable = (running: ActiveTurn | undefined): "compact" | "review" | undefined =>
  running?.takesInput === true && (running.kind === "compact" || running.kind === "review") ? running.kind : undefined;

function notSteerable(turnKind: "compact" | "review"): RpcError {
  const message = `cannot steer a ${turnKind} turn`;
  const codexErrorInfo = { activeTurnNotSteerable: { turnKind } };
  return invalidRequest(message, { details: { message, codexErrorInfo, additionalDetails: null, misalignment: null } });
}

/** As stock Codex does before each turn. */
export function warnOfModel({ hub, manager }: Pick<ServerContext, "hub" | "manager">, thread: ServedThread): void {
  const { id: threadId, config } = thread;
  const { model, modelProvider } = config;
  if (manager.modelsManager.knows(model, modelProvider)) return;
  const message = `Model metadata for \`${model}\` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.`;
  hub.feedOf(threadId).tell({ method: "warning", params: { threadId, message } });
}

/** A thread that no store lists has its preview from here. */
function notePreview(
  { views }: ServerContext,
  threadId: Parameters<typeof views.ephemeral.get>[0],
  input: readonly z.infer<typeof v2InputSchema>[],
): void {
  const facts = views.ephemeral.get(threadId);
  if (facts === undefined || facts.preview !== "") return;
  const written = input.map((item) => (item.type === "text" ? item.text : "")).join("");
  facts.preview = written === "" && input.length > 0 ? PICTURE_ALONE : written;
}

async function steer(
  server: ServerContext,
  params: z.infer<typeof steerSchema>,
  call: Call,
): Promise<{ turnId: string }> {
  const thread = await threadOf(server, readThreadId(params.threadId), call.signal);
  if (params.expectedTurnId === "") throw invalidRequest("expectedTurnId must not be empty");
  checkContent(params.input);
  const running = thread.activeTurn;
  if (running === undefined) throw invalidRequest("no active turn to steer", { code: "no_active_turn" });
  if (running.turnId !== params.expectedTurnId) {
    throw invalidRequest(`expected active turn id \`${params.expectedTurnId}\` but found \`${running.turnId}\``, {
      code: "no_active_turn",
    });
  }
  const kind = unsteerable(running);
  if (kind !== undefined) throw notSteerable(kind);
  if (params.input.length === 0) throw invalidRequest("input must not be empty");
  call.finally(server.hub.feedOf(thread.id).hold(call.connection));
  await tellContext(thread, params.additionalContext, call.signal);
  const input = { items: params.input.map(inputFromV2), clientId: params.clientUserMessageId };
  return { turnId: (await submitInput(server, thread, input, call.signal)).turnId };
}

/**
 * Answered when the thread has been told, and over a cluster when the turn has ended; what is told of that end follows. A turn that was promised and has not begun ends as soon as it does. An empty
 * turn id stands for whatever runs, if anything does.
 */
async function interrupt(server: ServerContext, params: z.infer<typeof interruptSchema>, call: Call): Promise<object> {
  const { hub } = server;
  const thread = await threadOf(server, readThreadId(params.threadId), call.signal);
  const feed = hub.feedOf(thread.id);
  if (feed.promised.has(params.turnId)) {
    feed.promised.set(params.turnId, true);
    return {};
  }
  if (params.turnId !== "") checkTurn(params.turnId, thread.activeTurn);
  feed.tell(...feed.mapper.flushTokens());
  call.finally(feed.hold(call.connection));
  await hub.interrupt(thread.id, call.signal);
  return {};
}

/** @throws RpcError when another turn runs, or none */
function checkTurn(turnId: string, running: ActiveTurn | undefined): void {
  if (running?.turnId === turnId) return;
  const message =
    running === undefined
      ? "no active turn to interrupt"
      : `expected active turn id ${turnId} but found ${running.turnId}`;
  throw invalidRequest(message, { code: "no_active_turn" });
}
