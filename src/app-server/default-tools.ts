import { type BuiltInToolName, CODEX_TOOLS } from "../protocol/built-in-tool-names.ts";

/** As clients of Codex expect. */
export const DEFAULT_TOOLS: readonly BuiltInToolName[] = [...CODEX_TOOLS, "request_user_input", "multi_agent"];
