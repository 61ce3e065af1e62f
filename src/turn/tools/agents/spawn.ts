import { InvalidRequestError } from "../../../protocol/errors.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { ResponseItem } from "../../../protocol/response-item.ts";
import type { ResolvedThreadConfig } from "../../../protocol/thread-config.ts";
import type { UserInput } from "../../../protocol/user-input.ts";
import type { AgentTerms } from "../../agents.ts";
import type { CallContext } from "../call-context.ts";
import { DEPTH_REACHED, spawnFailure } from "./agent-failure.ts";
import { previewOf } from "./agent-input.ts";
import { tellingOf } from "./collab-call.ts";

export type Spawning = {
  readonly input: UserInput[];
  readonly role: string | null;
  readonly model?: string | undefined;
  readonly effort?: string | undefined;
  readonly context: "none" | "conversation";
  readonly terms: AgentTerms | undefined;
  readonly outputOf: (agent: { readonly id: ThreadId; readonly nickname: string | null }) => unknown;
};

/** What Codex names where no effort is given. */
const UNSTATED_EFFORT = "medium";

/** Starts an agent on the turn's own settings. @throws InvalidRequestError before anything is told */
export async function spawnAgent(call: CallContext, spawning: Spawning): Promise<string> {
  const { input, role, model, effort, terms, outputOf } = spawning;
  const { agents, callId: call_id, threadId: sender_thread_id } = call;
  if (terms !== undefined && agents.depthOf(sender_thread_id) >= terms.maxDepth) {
    throw new InvalidRequestError(DEPTH_REACHED);
  }
  const prompt = previewOf(input);
  const about = { call_id, sender_thread_id, prompt };
  const facts = {
    tool: "spawn_agent",
    receivers: [],
    prompt,
    ...(terms === undefined ? {} : { model: model ?? "", reasoningEffort: effort ?? UNSTATED_EFFORT }),
  };
  return tellingOf(call, { facts, begin: { type: "collab_agent_spawn_begin", ...about } }, async () => {
    try {
      const config = await configOf(call, { model, effort });
      const history = spawning.context === "none" ? [] : call.conversation().filter(isSaid);
      const id = await agents.spawn({
        ...{ parent: sender_thread_id, config, prompt: input, history, role, terms },
        signal: call.signal,
        rootTurn: call.rootTurnId,
      });
      // What the agent was when it was made: its turn has begun meanwhile.
      return {
        states: { [id]: "pending_init" },
        event: { type: "collab_agent_spawn_end", ...about, new_thread_id: id, status: "pending_init" },
        output: JSON.stringify(outputOf({ id, nickname: agents.nicknameOf(id) })),
        facts: {
          receivers: [id],
          ...(terms === undefined
            ? {}
            : { model: config.model, reasoningEffort: config.reasoningEffort ?? UNSTATED_EFFORT }),
        },
      };
    } catch (error) {
      call.signal.throwIfAborted();
      return {
        states: {},
        event: { type: "collab_agent_spawn_end", ...about, new_thread_id: null, status: "not_found" },
        output: error instanceof InvalidRequestError ? error.message : spawnFailure(error),
        hasFailed: true,
      };
    }
  });
}

/** What an agent that takes over the conversation is given of it: what was said, and nothing of the work. */
const isSaid = (item: ResponseItem): boolean => item.type === "message" && item.phase !== "commentary";

type Overrides = { readonly model: string | undefined; readonly effort: string | undefined };

/** The turn's settings, with another model or effort where one is asked for. @throws InvalidRequestError */
async function configOf({ config, agents }: CallContext, { model, effort }: Overrides): Promise<ResolvedThreadConfig> {
  if (model === undefined && effort === undefined) return config;
  const known = await agents.modelsFor(config);
  const name = model ?? config.model;
  const preset = known.find((each) => each.model === name);
  if (preset === undefined && model !== undefined && model !== config.model && known.length > 0) {
    const names = known.map((each) => each.model).join(", ");
    throw new InvalidRequestError(`Unknown model \`${model}\` for spawn_agent. Available models: ${names}`);
  }
  const efforts = preset?.supportedReasoningEfforts.map((each) => each.effort);
  if (effort !== undefined && efforts !== undefined && !efforts.includes(effort)) {
    throw new InvalidRequestError(
      `Reasoning effort \`${effort}\` is not supported for model \`${name}\`. Supported reasoning efforts: ${efforts.join(", ")}`,
    );
  }
  // An effort that suited the parent's model says nothing about another one.
  const own = model === undefined || model === config.model ? config.reasoningEffort : null;
  return { ...config, model: name, reasoningEffort: effort ?? preset?.defaultReasoningEffort ?? own };
}
