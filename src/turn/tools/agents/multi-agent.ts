/** 0.169's tools for agents (SPEC 14.4), in a namespace of their own. */
import * as z from "zod";
import { InvalidRequestError } from "../../../protocol/errors.ts";
import type { ToolSpec } from "../../../protocol/function-tool.ts";
import type { AgentTerms } from "../../agents.ts";
import type { BuiltInTool } from "../built-in-tool.ts";
import type { CallContext } from "../call-context.ts";
import { agentIdOf, agentInputFields, agentInputOf } from "./agent-input.ts";
import { closeAgent } from "./close.ts";
import { resumeAgent } from "./resume.ts";
import { sendInput } from "./send.ts";
import { spawnAgent } from "./spawn.ts";
import { waitForAgents } from "./wait.ts";

const namespace = {
  name: "multi_agent_v1",
  description: "Start agents that work on tasks of their own, and work with them.",
};

const RULE = "0.169";
const DEFAULT_WAIT_MS = 30_000;
const WAIT_BOUNDS = { leastMs: 10_000, mostMs: 3_600_000 };
/** Codex's own roles. They are recorded, and change no setting. */
const ROLES: ReadonlySet<string> = new Set(["default", "explorer", "worker"]);

const termsOf = ({ config }: CallContext): AgentTerms => ({
  maxThreads: config.agentMaxThreads,
  maxDepth: config.agentMaxDepth,
});

const text = (description: string) => ({ type: "string", description });

const spec = (
  name: string,
  description: string,
  properties: Record<string, unknown>,
  required: readonly string[] = [],
): ToolSpec => ({
  type: "function",
  name,
  description,
  strict: false,
  parameters: {
    type: "object",
    properties,
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  },
});

const TARGET = text("The agent's id, as spawn_agent gave it.");

const ITEMS = {
  type: "array",
  description: "In place of message: a list of parts, e.g. texts, images and skills.",
  items: {
    type: "object",
    properties: {
      type: text("text, image, local_image, skill or mention."),
      text: text("The text of a text."),
      image_url: text("The data URL of an image."),
      path: text("Where a local_image or a skill is, or what a mention points to."),
      name: text("What a skill or a mention is called."),
    },
    additionalProperties: false,
  },
};

const spawnArguments = z.looseObject({
  ...agentInputFields,
  agent_type: z.string().nullish(),
  model: z.string().nullish(),
  reasoning_effort: z.string().nullish(),
  fork_context: z.boolean().nullish(),
});

const spawn: BuiltInTool = {
  namespace,
  spec: spec(
    "spawn_agent",
    "Starts an agent, which works on the given task by itself while you go on. It has your settings and works in the same folder, so give agents tasks that do not touch the same files. Gives the agent's id and a name for it. Use agents for work that the user wants divided, or that is large and can be described in full; do the rest yourself.",
    {
      message: text("The task, as plain text. Give either message or items."),
      items: ITEMS,
      fork_context: {
        type: "boolean",
        description: "true: the agent knows this conversation. Otherwise it knows nothing but its task.",
      },
      model: text("Another model than yours. Leave it out unless one is called for."),
      reasoning_effort: text("Another reasoning effort than yours."),
    },
  ),
  run(call) {
    const args = call.argumentsAs(spawnArguments);
    const role = args.agent_type?.trim() || null;
    const input = agentInputOf(args);
    if (role !== null && !ROLES.has(role)) throw new InvalidRequestError(`unknown agent_type '${role}'`);
    return spawnAgent(call, {
      input,
      role,
      model: args.model ?? undefined,
      effort: args.reasoning_effort ?? undefined,
      context: args.fork_context === true ? "conversation" : "none",
      terms: termsOf(call),
      outputOf: ({ id, nickname }) => ({ agent_id: id, nickname }),
    });
  },
};

const sendArguments = z.looseObject({ target: z.string(), ...agentInputFields, interrupt: z.boolean().nullish() });

const send: BuiltInTool = {
  namespace,
  spec: spec(
    "send_input",
    "Gives an agent more to do, or tells it something. An agent that knows the matter already is a better choice than a new one.",
    {
      target: TARGET,
      message: text("What the agent is told, as plain text. Give either message or items."),
      items: ITEMS,
      interrupt: {
        type: "boolean",
        description: "true: what the agent is doing ends at once. Otherwise the input is taken in as it goes on.",
      },
    },
    ["target"],
  ),
  async run(call) {
    const args = call.argumentsAs(sendArguments);
    const target = agentIdOf(args.target);
    const running = args.interrupt === true ? "is interrupted" : "continues";
    return sendInput(call, { target, input: agentInputOf(args), running, rule: RULE });
  },
};

const waitArguments = z.looseObject({
  targets: z.array(z.string()).default([]),
  timeout_ms: z.int().nullish(),
});

const wait: BuiltInTool = {
  namespace,
  idempotent: true,
  spec: spec(
    "wait_agent",
    "Waits until at least one of the agents is done, and gives the status of each that is; none when the time runs out first. You are also told of an agent's end without waiting, so wait only when you cannot go on.",
    {
      targets: { type: "array", items: { type: "string" }, description: "The ids of the agents." },
      timeout_ms: {
        type: "number",
        description: "Milliseconds: 30000 unless given, at least 10000, at most 3600000. Rather long than often.",
      },
    },
    ["targets"],
  ),
  async run(call) {
    const { targets, timeout_ms } = call.argumentsAs(waitArguments);
    const timeoutMs = timeout_ms ?? DEFAULT_WAIT_MS;
    return waitForAgents(call, {
      targets,
      timeoutMs,
      bounds: WAIT_BOUNDS,
      nobody: "agent ids must be non-empty",
      rule: RULE,
    });
  },
};

const closeArguments = z.looseObject({ target: z.string() });

const close: BuiltInTool = {
  namespace,
  spec: spec(
    "close_agent",
    "Ends an agent that is not needed any more, with all agents that it has started, and gives what it had come to. An agent that is done stays open, and counts against the limit of open agents, until it is closed.",
    { target: TARGET },
    ["target"],
  ),
  async run(call) {
    const target = agentIdOf(call.argumentsAs(closeArguments).target);
    return closeAgent(call, { target, rule: RULE, outputOf: (before) => ({ previous_status: before }) });
  },
};

const resumeArguments = z.looseObject({ id: z.string() });

const resume: BuiltInTool = {
  namespace,
  spec: spec(
    "resume_agent",
    "Opens a closed agent again, so that it takes input and can be waited for.",
    { id: TARGET },
    ["id"],
  ),
  async run(call) {
    const target = agentIdOf(call.argumentsAs(resumeArguments).id);
    return resumeAgent(call, { target, terms: termsOf(call) });
  },
};

/** In the order in which they are offered. */
export const multiAgentTools: readonly BuiltInTool[] = [close, resume, send, spawn, wait];
