/** What lists and single reads show of a thread, taken from its header and its first lines. */
import type { EventMsg } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { type ContentItem, textOf, textOfContent } from "../protocol/response-item.ts";
import type { GitInfo, RolloutItem, SessionMeta, TurnContextItem } from "../protocol/rollout.ts";
import { parseSessionSource, threadSpawnOf } from "../protocol/session-source.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import { isUserBoundary } from "../protocol/user-boundary.ts";
import type { StoredThread, ThreadGit } from "./thread-store.ts";

/** What the header alone tells. */
export type ThreadFacts = Omit<
  StoredThread,
  "rolloutPath" | "updatedAt" | "preview" | "name" | "archived" | "interrupted" | "openTurn"
>;

/** Whatever a foreign writer put into the header comes out as the types say. */
export function factsOf(meta: SessionMeta): ThreadFacts {
  const source = parseSessionSource(meta.source);
  return {
    threadId: meta.id,
    createdAt: startTimeOf(meta),
    cwd: textOr(meta.cwd, ""),
    modelProvider: textOr(meta.model_provider, null),
    cliVersion: textOr(meta.cli_version, ""),
    originator: textOr(meta.originator, null),
    historyMode: meta.history_mode === "legacy" ? "legacy" : "paginated",
    source,
    gitInfo: gitInfoOf(meta.git),
    model: textOr(meta.model, null),
    reasoningEffort: textOr(meta.reasoning_effort, null),
    forkedFromId: textOr(meta.forked_from_id, null),
    parentThreadId: parentThreadOf(meta, source),
  };
}

const textOr = <T extends string, F>(value: T | null | undefined, otherwise: F): T | F =>
  typeof value === "string" ? value : otherwise;

/** Unix milliseconds; 0 when the header's time cannot be read. */
export function startTimeOf(meta: SessionMeta): number {
  const at = typeof meta.timestamp === "string" ? Date.parse(meta.timestamp) : Number.NaN;
  return Number.isNaN(at) ? 0 : at;
}

export function gitInfoOf(git: GitInfo | null | undefined): ThreadGit | null {
  if (!isJsonObject(git)) return null;
  return {
    sha: textOr(git.commit_hash, null),
    branch: textOr(git.branch, null),
    originUrl: textOr(git.repository_url, null),
  };
}

/** The thread that spawned this one as an agent. */
export function parentThreadOf(meta: SessionMeta, source = parseSessionSource(meta.source)): ThreadId | null {
  if (typeof meta.parent_thread_id === "string") return meta.parent_thread_id;
  return threadSpawnOf(source)?.parent_thread_id ?? null;
}

export type ModelUse = Pick<StoredThread, "model" | "reasoningEffort">;

/** The model that a request ran with; undefined when the line is no request's. */
export function modelUseOf(item: RolloutItem): ModelUse | undefined {
  if (item.type !== "turn_context" || !isJsonObject(item.payload)) return undefined;
  const { model, effort } = item.payload as TurnContextItem;
  return typeof model === "string" ? { model, reasoningEffort: textOr(effort, null) } : undefined;
}

const REQUEST_HEADING = "## My request for Codex:";

/** Texts that only stand around a picture, or in its place. */
const OF_PICTURE =
  /^(<image( name=.*)?>|<\/image>|image content omitted because .*|Codex could not read the local image at `.*)$/s;

const isOfPicture = (part: ContentItem): boolean => part.type === "input_image" || OF_PICTURE.test(textOfContent(part));

/** What the user has written in a message, `[Image]` where that is a picture alone; undefined when the line is none (SPEC 6.1). */
export function userTextOf(item: RolloutItem): string | undefined {
  if (item.type === "event_msg") return reviewedIn(item.payload);
  if (item.type !== "response_item" || !isUserBoundary(item.payload)) return undefined;
  if (item.payload.type !== "message") return textOf(item.payload);
  const { content } = item.payload;
  const [first] = content;
  if (first?.type === "input_text" && first.text.startsWith("<user_action>")) return undefined;
  if (first?.type === "input_text" && first.text.startsWith(GOAL)) return OBJECTIVE.exec(first.text)?.[1];
  const written = content.map((part) => (isOfPicture(part) ? "" : textOfContent(part))).join("");
  return written === "" && content.some(isOfPicture) ? PICTURE_ALONE : written;
}

/** What the user has asked to have reviewed. What the model is told of it afterwards is nobody's message. */
const reviewedIn = (msg: EventMsg): string | undefined =>
  msg.type === "item_completed" && msg.item.type === "EnteredReviewMode"
    ? (msg.item.user_facing_hint ?? undefined)
    : undefined;

/** How a turn toward a goal begins, in Codex's frame: of it the goal alone is the user's. */
const GOAL = '<codex_internal_context source="goal">';
const OBJECTIVE = /<objective>\n(.*?)\n<\/objective>/s;

/** Codex's. */
export const PICTURE_ALONE = "[Image]";

/** What a list shows of the first user's message (SPEC 8.2). */
export function previewOf(userText: string): string {
  const heading = userText.indexOf(REQUEST_HEADING);
  return heading === -1 ? userText : userText.slice(heading + REQUEST_HEADING.length).trim();
}
