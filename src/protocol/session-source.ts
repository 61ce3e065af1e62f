import type { ThreadId } from "./ids.ts";
import { isJsonObject, type JsonObject } from "./unknown-kind.ts";

/** Who an agent thread's parent is and what it is called (0.169's shape). */
export type ThreadSpawnSource = {
  parent_thread_id: ThreadId;
  depth: number;
  agent_path?: string | null | undefined;
  agent_nickname?: string | null | undefined;
  agent_role?: string | null | undefined;
};

/** Which kind of sub-agent a thread is. */
export type SubAgentSource = "review" | "compact" | { other: string } | { thread_spawn: ThreadSpawnSource };

/** What started a thread, as session_meta and the wire say it (SPEC 1.4). */
export type SessionSource = "cli" | "vscode" | "exec" | "mcp" | "unknown" | { subagent: SubAgentSource };

const NAMES: ReadonlySet<unknown> = new Set(["cli", "vscode", "exec", "mcp"]);

/**
 * Reads a source of any version: absent is `vscode`, unknown is `unknown`. A sub-agent of an unknown kind stays a
 * sub-agent (`other` with the kind's name), so that lists which hide sub-agents still hide it.
 */
export function parseSessionSource(value: unknown): SessionSource {
  if (value === undefined || value === null) return "vscode";
  if (NAMES.has(value)) return value as SessionSource;
  if (!isJsonObject(value) || value.subagent === undefined) return "unknown";
  return { subagent: parseSubAgent(value.subagent) };
}

function parseSubAgent(value: unknown): SubAgentSource {
  if (value === "review" || value === "compact") return value;
  if (typeof value === "string") return { other: value };
  if (!isJsonObject(value)) return { other: "unknown" };
  if (typeof value.other === "string") return { other: value.other };
  const spawn = value.thread_spawn;
  if (isJsonObject(spawn) && isThreadSpawn(spawn)) return { thread_spawn: spawn };
  return { other: Object.keys(value)[0] ?? "unknown" };
}

/** Who started an agent's thread, where the source says that one did. */
export const threadSpawnOf = (source: SessionSource): ThreadSpawnSource | undefined =>
  typeof source === "object" && typeof source.subagent === "object" && "thread_spawn" in source.subagent
    ? source.subagent.thread_spawn
    : undefined;

const isThreadSpawn = (value: JsonObject): value is ThreadSpawnSource =>
  typeof value.parent_thread_id === "string" && typeof value.depth === "number";
