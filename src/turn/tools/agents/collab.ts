/** 0.87's tools for agents (SPEC 14.3): no names, no notices, and no limits but the manager's. */
import * as z from "zod";
import type { BuiltInTool } from "../built-in-tool.ts";
import { agentIdOf, agentInputOf } from "./agent-input.ts";
import { closeAgent } from "./close.ts";
import { sendInput } from "./send.ts";
import { spawnAgent } from "./spawn.ts";
import { waitForAgents } from "./wait.ts";

const RULE = "0.80";
const DEFAULT_WAIT_MS = 30_000;
const WAIT_BOUNDS = { leastMs: 1, mostMs: 300_000 };
const ID = { type: "string", description: "The agent's id." };

const spawnArguments = z.looseObject({
  message: z.string(),
  agent_type: z.enum(["default", "orchestrator", "worker"]).nullish(),
});

const spawn: BuiltInTool = {
  spec: {
    type: "function",
    name: "spawn_agent",
    description: "Starts an agent on a task, and gives its id.",
    strict: false,
    parameters: {
      type: "object",
      properties: {
        message: { type: "string", description: "The task." },
        agent_type: { type: "string", description: "default, orchestrator or worker." },
      },
      required: ["message"],
      additionalProperties: false,
    },
  },
  async run(call) {
    const { message, agent_type } = call.argumentsAs(spawnArguments);
    return spawnAgent(call, {
      input: agentInputOf({ message }),
      role: agent_type ?? null,
      context: "none",
      terms: undefined,
      outputOf: ({ id }) => ({ agent_id: id }),
    });
  },
};

const sendArguments = z.looseObject({ id: z.string(), message: z.string(), interrupt: z.boolean().nullish() });

const send: BuiltInTool = {
  spec: {
    type: "function",
    name: "send_input",
    description: "Tells an agent something.",
    strict: false,
    parameters: {
      type: "object",
      properties: {
        id: ID,
        message: { type: "string", description: "What the agent is told." },
        interrupt: { type: "boolean", description: "true: what the agent is doing ends first." },
      },
      required: ["id", "message"],
      additionalProperties: false,
    },
  },
  async run(call) {
    const { id, message, interrupt } = call.argumentsAs(sendArguments);
    const running = interrupt === true ? "is interrupted" : "continues";
    return sendInput(call, { target: agentIdOf(id), input: agentInputOf({ message }), running, rule: RULE });
  },
};

const waitArguments = z.looseObject({ ids: z.array(z.string()), timeout_ms: z.int().nullish() });

const wait: BuiltInTool = {
  idempotent: true,
  spec: {
    type: "function",
    name: "wait",
    description: "Waits until one of the agents is done; gives the status of each that is, none when time runs out.",
    strict: false,
    parameters: {
      type: "object",
      properties: {
        ids: { type: "array", items: { type: "string" }, description: "The agents' ids." },
        timeout_ms: { type: "number", description: "Milliseconds: 30000 unless given, at most 300000." },
      },
      required: ["ids"],
      additionalProperties: false,
    },
  },
  async run(call) {
    const { ids, timeout_ms } = call.argumentsAs(waitArguments);
    return waitForAgents(call, {
      targets: ids,
      timeoutMs: timeout_ms ?? DEFAULT_WAIT_MS,
      bounds: WAIT_BOUNDS,
      nobody: "ids must be non-empty",
      rule: RULE,
    });
  },
};

const closeArguments = z.looseObject({ id: z.string() });

const close: BuiltInTool = {
  spec: {
    type: "function",
    name: "close_agent",
    description: "Ends an agent, and gives what it had come to.",
    strict: false,
    parameters: { type: "object", properties: { id: ID }, required: ["id"], additionalProperties: false },
  },
  async run(call) {
    const target = agentIdOf(call.argumentsAs(closeArguments).id);
    return closeAgent(call, { target, rule: RULE, outputOf: (before) => ({ status: before }) });
  },
};

export const collabTools: readonly BuiltInTool[] = [spawn, send, wait, close];
