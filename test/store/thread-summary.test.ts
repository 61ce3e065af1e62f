/** What of a thread's lines counts as the user's words, in lists and in searches. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContentItem } from "../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import { userTextOf } from "../../src/store/thread-summary.ts";

const text = (words: string): ContentItem => ({ type: "input_text", text: words });
const picture: ContentItem = { type: "input_image", image_url: "data:image/png;base64,AAAA" };
const said = (...content: ContentItem[]): RolloutItem => ({
  type: "response_item",
  payload: { type: "message", role: "user", content },
});
const told = (item: { type: string; id: string; user_facing_hint?: string }): RolloutItem =>
  ({
    type: "event_msg",
    payload: { type: "item_completed", thread_id: "t", turn_id: "u", item },
  }) as RolloutItem;

const cases: [string, RolloutItem, string | undefined][] = [
  ["words", said(text("hello")), "hello"],
  ["words in parts", said(text("hel"), text("lo")), "hello"],
  ["no words", said(text("")), ""],
  ["a picture alone", said(picture), "[Image]"],
  ["a picture with what frames it", said(text("<image>"), picture, text("</image>")), "[Image]"],
  ["a picture and words", said(text("<image>"), picture, text("</image>"), text("look")), "look"],
  ["a review", told({ type: "EnteredReviewMode", id: "r", user_facing_hint: "the last commit" }), "the last commit"],
  ["a review that says nothing", told({ type: "EnteredReviewMode", id: "r" }), undefined],
  ["the end of a review", told({ type: "ExitedReviewMode", id: "r", user_facing_hint: "no" }), undefined],
];

for (const [what, item, words] of cases) test(`the user's words: ${what}`, () => assert.equal(userTextOf(item), words));
