/**
 * Names of the GenAI semantic conventions (https://github.com/open-telemetry/semantic-conventions-genai, all of status
 * "development" in 2026), of the MCP conventions beside them, and our own, which begin with `skein.`
 */
export const OPERATION = "gen_ai.operation.name";
export const PROVIDER = "gen_ai.provider.name";
export const REQUEST_MODEL = "gen_ai.request.model";
export const AGENT_ID = "gen_ai.agent.id";
export const AGENT_NAME = "gen_ai.agent.name";
export const CONVERSATION_ID = "gen_ai.conversation.id";
export const OUTPUT_TYPE = "gen_ai.output.type";
export const RESPONSE_ID = "gen_ai.response.id";
export const TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk";
export const INPUT_TOKENS = "gen_ai.usage.input_tokens";
export const CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens";
export const OUTPUT_TOKENS = "gen_ai.usage.output_tokens";
export const REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens";
export const TOKEN_TYPE = "gen_ai.token.type";
export const TOOL_NAME = "gen_ai.tool.name";
export const TOOL_TYPE = "gen_ai.tool.type";
export const TOOL_CALL_ID = "gen_ai.tool.call.id";
/** Content: only on request. */
export const INPUT_MESSAGES = "gen_ai.input.messages";
export const OUTPUT_MESSAGES = "gen_ai.output.messages";
export const SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions";
export const TOOL_ARGUMENTS = "gen_ai.tool.call.arguments";
export const TOOL_RESULT = "gen_ai.tool.call.result";

export const ERROR_TYPE = "error.type";
export const MCP_METHOD = "mcp.method.name";

export const TURN_ID = "skein.turn.id";
export const SUBMISSION_ID = "skein.submission.id";
export const EPOCH = "skein.thread.epoch";
export const ORIGIN = "skein.thread.origin";
export const PARENT_THREAD = "skein.thread.parent_id";
export const FORKED_FROM = "skein.thread.forked_from_id";
export const PURPOSE = "skein.spawn.purpose";
export const KIND = "skein.kind";
export const DECISION = "skein.approval.decision";
export const LINK = "skein.link";
