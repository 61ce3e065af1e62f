/**
 * `shell` is the tool `shell_command`; `unified_exec` are `exec_command` and `write_stdin`; `multi_agent` are 0.169's tools
 * for agents, in a namespace of their own, and `collab` 0.87's.
 */
export const BUILT_IN_TOOL_NAMES = [
  "shell",
  "unified_exec",
  "apply_patch",
  "update_plan",
  "view_image",
  "request_user_input",
  "multi_agent",
  "collab",
] as const;
/** The name of a tool that comes with Skein. */
export type BuiltInToolName = (typeof BUILT_IN_TOOL_NAMES)[number];

/** What clients of Codex take for granted. */
export const CODEX_TOOLS: readonly BuiltInToolName[] = ["unified_exec", "apply_patch", "update_plan", "view_image"];
