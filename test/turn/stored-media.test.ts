/** What only stock Codex's threads have in their messages: pictures by a file's id, and audio. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inputToV2 } from "../../src/app-server/v2/input.ts";
import { conversationOf } from "../../src/model/conversation.ts";
import type { ModelRequest } from "../../src/model/model-client.ts";
import { parseRolloutItem } from "../../src/protocol/rollout.ts";
import { withoutBrokenPictures } from "../../src/turn/picture-content.ts";

const message = (...content: object[]) => {
  const payload = { type: "message", role: "user", content: [...content, { type: "input_text", text: "look" }] };
  const item = parseRolloutItem({ type: "response_item", payload });
  assert.ok(item?.type === "response_item", "the message is read");
  return item.payload;
};

const file = { type: "input_image", file_id: "file-1", detail: "high" };

test("a message with a picture that lies at the model's server is read, and sent as it is", () => {
  const read = message(file);
  assert.deepEqual(withoutBrokenPictures(read), read);
  const request = { instructions: "", input: [read], tools: [] } as unknown as ModelRequest;
  assert.deepEqual(conversationOf(request), [{ role: "user", parts: [{ text: "look" }] }]);
  assert.equal(
    parseRolloutItem({ type: "response_item", payload: { ...read, content: [{ type: "input_image" }] } }),
    undefined,
  );
});

test("audio is a text to the model, since none of our clients takes it", () => {
  const told = withoutBrokenPictures(message({ type: "input_audio", audio_url: "data:audio/wav;base64,AAAA" }));
  assert.deepEqual(told.type === "message" && told.content, [
    { type: "input_text", text: "audio content omitted because you do not support audio input" },
    { type: "input_text", text: "look" },
  ]);
});

test("a client is shown the file's id", () => {
  assert.deepEqual(inputToV2({ type: "image", file_id: "file-1" }), { type: "image", fileId: "file-1", detail: null });
});
