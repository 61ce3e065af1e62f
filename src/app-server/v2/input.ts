/** What a user sends, between the core's words and those of v2. */
import * as z from "zod";
import type { TextElement, UserInput } from "../../protocol/user-input.ts";

const textElement = z.looseObject({
  byteRange: z.looseObject({ start: z.int().min(0), end: z.int().min(0) }),
  placeholder: z.string().nullish(),
});

const text = z.string();
const detail = z.enum(["auto", "low", "high", "original"]).nullish();

export const v2InputSchema = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text"), text, text_elements: z.array(textElement).nullish() }),
  z
    .looseObject({ type: z.literal("image"), url: text.optional(), fileId: text.optional(), detail })
    .refine(({ url, fileId }) => url !== undefined || fileId !== undefined, {
      message: "data did not match any variant of untagged enum ImageReference",
    }),
  z.looseObject({ type: z.literal("localImage"), path: text, detail }),
  z.looseObject({ type: z.literal("audio"), url: text }),
  z.looseObject({ type: z.literal("localAudio"), path: text }),
  z.looseObject({ type: z.literal("skill"), name: text, path: text }),
  z.looseObject({ type: z.literal("mention"), name: text, path: text }),
]);

export type V2Input = z.infer<typeof v2InputSchema>;

export function inputFromV2(item: V2Input): UserInput {
  switch (item.type) {
    case "text":
      return { type: "text", text: item.text, text_elements: (item.text_elements ?? []).map(elementFromV2) };
    case "image": {
      const detail = item.detail == null ? {} : { detail: item.detail };
      return item.url === undefined
        ? { type: "image", file_id: item.fileId ?? "", ...detail }
        : { type: "image", image_url: item.url, ...detail };
    }
    case "localImage":
      return { type: "local_image", path: item.path, ...(item.detail == null ? {} : { detail: item.detail }) };
    case "audio":
      return { type: "audio", audio_url: item.url };
    case "localAudio":
      return { type: "local_audio", path: item.path };
    case "skill":
      return { type: "skill", name: item.name, path: item.path };
    case "mention":
      return { type: "mention", name: item.name, path: item.path };
  }
}

const elementFromV2 = ({ byteRange, placeholder }: z.infer<typeof textElement>): TextElement => ({
  byte_range: { start: byteRange.start, end: byteRange.end },
  placeholder: placeholder ?? null,
});

/** An input of a kind that v2 has no word for is shown as an empty text. */
export function inputToV2(item: UserInput): Record<string, unknown> {
  switch (item.type) {
    case "text":
      return { type: "text", text: item.text, text_elements: (item.text_elements ?? []).map(elementToV2) };
    case "image":
      return {
        type: "image",
        ...(item.image_url === undefined ? { fileId: item.file_id } : { url: item.image_url }),
        detail: item.detail ?? null,
      };
    case "local_image":
      return { type: "localImage", path: item.path, detail: item.detail ?? null };
    case "audio":
      return { type: "audio", url: item.audio_url };
    case "local_audio":
      return { type: "localAudio", path: item.path };
    case "skill":
      return { type: "skill", name: item.name, path: item.path };
    case "mention":
      return { ...item };
    default:
      return { type: "text", text: "", text_elements: [] };
  }
}

const elementToV2 = ({ byte_range: range, placeholder }: TextElement) => ({
  byteRange: { start: range.start, end: range.end },
  placeholder: placeholder ?? null,
});
