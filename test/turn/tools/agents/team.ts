/** A lead with tools for agents, on a manual clock; what it and its agents say is scripted apart. */
import type { ThreadManagerOptions } from "../../../../src/index.ts";
import type { ModelRequest } from "../../../../src/model/model-client.ts";
import { call, type Play, type Step } from "../../../../src/model/script.ts";
import type { ThreadEvent } from "../../../../src/protocol/event.ts";
import type { ThreadId } from "../../../../src/protocol/ids.ts";
import { textOf } from "../../../../src/protocol/response-item.ts";
import type { CollabAgentToolCallTurnItem } from "../../../../src/protocol/turn-item.ts";
import type { Thread } from "../../../../src/thread/thread.ts";
import { type Rig, rig, watch } from "../../../rig.ts";

/** What the lead does next, knowing the agents that it has started so far. */
export type LeadStep = Play | ((agents: readonly string[]) => Play);

export type Team = Rig & {
  readonly lead: Thread;
  readonly events: readonly ThreadEvent[];
  /** The outputs of the lead's calls, in order. */
  outputs(): string[];
  /** Read as JSON. */
  results(): unknown[];
  /** The agents, in the order in which the lead was told of them. */
  agents(): ThreadId[];
  items(): CollabAgentToolCallTurnItem[];
  requestsOf(threadId: string): ModelRequest[];
};

export const v1 = (name: string, args: unknown, callId?: string): Step =>
  call(name, args, { namespace: "multi_agent_v1", ...(callId === undefined ? {} : { callId }) });

export type TeamOptions = ThreadManagerOptions & {
  readonly lead: readonly LeadStep[];
  /** What an agent answers; default: `did: ` and its last input. */
  readonly agent?: (request: ModelRequest, input: string) => Play;
};

const did = (_: ModelRequest, input: string): Play => `did: ${input}`;

export async function team({ lead: steps, agent = did, ...options }: TeamOptions): Promise<Team> {
  let leadId: string | undefined;
  let step = 0;
  const said: string[] = [];
  const script = (request: ModelRequest): Play => {
    leadId ??= request.threadId;
    if (request.threadId !== leadId) return agent(request, lastInput(request));
    const next = steps[step++] ?? "done";
    return typeof next === "function" ? next(agentsIn(said)) : next;
  };
  const made = await rig({ ...options, script, config: { builtInTools: ["multi_agent"], ...options.config } });
  const { thread: lead } = await made.manager.startThread();
  leadId = lead.id;
  const events = watch(lead);
  lead.events$.subscribe(({ msg }) => {
    if (msg.type === "raw_response_item" && msg.item.type === "function_call_output") said.push(textOf(msg.item));
  });
  return {
    ...made,
    lead,
    events,
    outputs: () => [...said],
    results: () => said.map((text) => JSON.parse(text)),
    agents: () => agentsIn(said) as ThreadId[],
    items: () =>
      events.flatMap(({ msg }) =>
        msg.type === "item_completed" && msg.item.type === "CollabAgentToolCall"
          ? [msg.item as CollabAgentToolCallTurnItem]
          : [],
      ),
    requestsOf: (threadId) => made.model.requests.filter((request) => request.threadId === threadId),
  };
}

const agentsIn = (outputs: readonly string[]): string[] =>
  outputs.flatMap((text) => /"agent_id":"([^"]+)"/.exec(text)?.[1] ?? []);

export const lastInput = ({ input }: ModelRequest): string => {
  const message = input.findLast((item) => item.type === "message" && item.role === "user");
  return message === undefined ? "" : textOf(message);
};

/** The notices of agents' ends that a request holds. */
export const noticesIn = ({ input }: Pick<ModelRequest, "input">): unknown[] =>
  input.flatMap((item) => {
    const found = /^<subagent_notification>\n(.*)\n<\/subagent_notification>$/.exec(textOf(item));
    return found?.[1] === undefined ? [] : [JSON.parse(found[1])];
  });
