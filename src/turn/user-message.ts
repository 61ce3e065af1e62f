import { extname } from "node:path";
import { raceAbort } from "../kernel/cancellation.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { type ContentItem, type ResponseItem, userMessage } from "../protocol/response-item.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { readBytes } from "../services/bounded-read.ts";

const IMAGE_TYPES: Record<string, string> = {
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".jpeg": "image/jpeg",
  ".gif": "image/gif",
  ".webp": "image/webp",
};

/** What an image may have; in base64 it is a third longer, and has to fit a request. */
const MAX_IMAGE_BYTES = 32 * 1024 * 1024;

/**
 * The one message that a user's input becomes (SPEC 2); at once, unless a local image has to be read. A file that can't
 * be attached becomes a text that says so, and so does one that is still being read at an abort. Skills and unknown kinds add no content of their own.
 */
export function messageOf(items: readonly UserInput[], signal: AbortSignal): ResponseItem | Promise<ResponseItem> {
  if (!items.some((item) => item.type === "local_image")) return userMessage(items.flatMap(contentOf));
  const parts = items.map((item) => (item.type === "local_image" ? readImage(item.path, signal) : contentOf(item)));
  return Promise.all(parts).then((contents) => userMessage(contents.flat()));
}

function contentOf(item: UserInput): ContentItem[] {
  if (item.type === "text") return [{ type: "input_text", text: item.text }];
  return item.type === "image" ? [{ type: "input_image", image_url: item.image_url }] : [];
}

async function readImage(path: string, signal: AbortSignal): Promise<ContentItem[]> {
  const mediaType = IMAGE_TYPES[extname(path).toLowerCase()];
  if (mediaType === undefined) return [unattached(path, "it is no PNG, JPEG, GIF or WebP file")];
  try {
    const bytes = await raceAbort(readBytes(path, MAX_IMAGE_BYTES), signal);
    return [{ type: "input_image", image_url: `data:${mediaType};base64,${bytes.toString("base64")}` }];
  } catch (error) {
    return [unattached(path, textOfThrown(error))];
  }
}

const unattached = (path: string, why: string): ContentItem => ({
  type: "input_text",
  text: `The image at \`${path}\` could not be attached: ${why}`,
});
