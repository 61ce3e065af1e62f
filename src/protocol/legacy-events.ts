import type { EventMsg, UserMessageEvent } from "./event.ts";
import type { AgentMessageTurnItem, TurnItem, UserMessageTurnItem } from "./turn-item.ts";
import type { TextElement } from "./user-input.ts";

/**
 * The older events that follow item_completed at once (SPEC 3, "Derived legacy events"): a legacy rollout stores these,
 * a paginated one stores the item. 0.169 stores no context_compacted either: it follows from a ContextCompaction item.
 * Items of other kinds have none.
 */
export function legacyEventsOf(item: TurnItem, options: { showRawReasoning?: boolean } = {}): EventMsg[] {
  switch (item.type) {
    case "UserMessage":
      return [userMessageEvent(item)];
    case "AgentMessage":
      return item.content.flatMap((part) =>
        part.type === "Text" ? [{ type: "agent_message" as const, message: part.text, ...phaseOf(item) }] : [],
      );
    case "Reasoning": {
      const summary: EventMsg[] = item.summary_text.map((text) => ({ type: "agent_reasoning", text }));
      const raw: EventMsg[] = item.raw_content.map((text) => ({ type: "agent_reasoning_raw_content", text }));
      return options.showRawReasoning === true ? [...summary, ...raw] : summary;
    }
    case "WebSearch":
      return [
        {
          type: "web_search_end",
          call_id: item.id,
          query: item.query,
          ...(item.action !== undefined && { action: item.action }),
        },
      ];
    case "ContextCompaction":
      return [{ type: "context_compacted" }];
    case "EnteredReviewMode":
      return [{ type: "entered_review_mode", target: item.target, user_facing_hint: item.user_facing_hint }];
    case "ExitedReviewMode":
      return [{ type: "exited_review_mode", review_output: item.review_output ?? null }];
    default:
      return [];
  }
}

const phaseOf = ({ phase }: AgentMessageTurnItem) => (phase === undefined || phase === null ? {} : { phase });

/** Texts are joined without a separator, so the elements of later parts move by the bytes before them. */
function userMessageEvent(item: UserMessageTurnItem): UserMessageEvent {
  let message = "";
  const images: string[] = [];
  const localImages: string[] = [];
  const elements: TextElement[] = [];
  for (const part of item.content) {
    if (part.type === "text") {
      if (part.text_elements?.length) {
        const before = Buffer.byteLength(message);
        elements.push(...part.text_elements.map((element) => moved(element, before)));
      }
      message += part.text;
    } else if (part.type === "image" && part.image_url !== undefined) images.push(part.image_url);
    else if (part.type === "local_image") localImages.push(part.path);
  }
  return { type: "user_message", message, images, local_images: localImages, text_elements: elements };
}

const moved = (element: TextElement, by: number): TextElement => ({
  ...element,
  byte_range: { start: element.byte_range.start + by, end: element.byte_range.end + by },
});
