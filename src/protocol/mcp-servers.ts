import * as z from "zod";
import { withoutSecrets } from "./secrets.ts";
import { shownAs } from "./shown-as.ts";

/** One MCP server, in the words of Codex's `mcp_servers` table: a program that speaks over stdio, or an address. */
export type McpServerConfig = {
  command?: string | undefined;
  args?: string[] | undefined;
  /** Added to the few variables that a server's process inherits. */
  env?: Record<string, string> | undefined;
  /** Further variables to inherit, by name. */
  env_vars?: string[] | undefined;
  cwd?: string | undefined;
  /** The address of a streamable HTTP server. */
  url?: string | undefined;
  /** The environment variable that holds the bearer token. */
  bearer_token_env_var?: string | undefined;
  http_headers?: Record<string, string> | undefined;
  /** Headers whose values are in environment variables. */
  env_http_headers?: Record<string, string> | undefined;
  /** Default true. */
  enabled?: boolean | undefined;
  /** Default 10. */
  startup_timeout_sec?: number | undefined;
  /** Default 60. */
  tool_timeout_sec?: number | undefined;
  /** Only these tools are offered. */
  enabled_tools?: string[] | undefined;
  disabled_tools?: string[] | undefined;
};

/** MCP servers by name, as in Codex's `mcp_servers` table. A thread connects to them with its first turn. */
export type McpServers = Readonly<Record<string, McpServerConfig>>;

const text = z.string().min(1).optional();
const texts = z.array(z.string()).optional();
const table = z.record(z.string(), z.string()).optional();
const seconds = z.number().positive().optional();

/** A server's settings are shown without its variables, headers and tokens, wherever a thread's config is. */
const serverSchema: z.ZodType<McpServerConfig> = z
  .looseObject({
    command: text,
    args: texts,
    env: table,
    env_vars: texts,
    cwd: text,
    url: text,
    bearer_token_env_var: text,
    http_headers: table,
    env_http_headers: table,
    enabled: z.boolean().optional(),
    startup_timeout_sec: seconds,
    tool_timeout_sec: seconds,
    enabled_tools: texts,
    disabled_tools: texts,
  })
  .refine(({ command, url }) => (command === undefined) !== (url === undefined), {
    message: "must have a `command` or a `url`, and not both",
  })
  .transform((config) => shownAs(config, () => withoutSecrets({ ...config }) as object));

/** By name: letters, digits, `_` and `-`, as in the names of its tools. */
export const mcpServersSchema: z.ZodType<McpServers> = z.record(
  z.string().regex(/^[a-zA-Z0-9_-]+$/, "a server's name must be letters, digits, `_` or `-`"),
  serverSchema,
);
