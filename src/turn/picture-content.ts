/**
 * The pictures in what the model is sent. One that its server would refuse, or has refused, would fail every later turn of
 * the thread, so a text stands in its place.
 */
import { ModelError } from "../protocol/model-error.ts";
import { type ContentItem, developerMessage, type ResponseItem, textOf } from "../protocol/response-item.ts";
import { pictureType } from "./picture.ts";

/** What OpenAI takes as a whole request, with base64's third on top. */
export const MAX_IMAGE_BYTES = 50 * 1024 * 1024;

/** Codex's words. */
export const OMITTED_PICTURE = "image content omitted because it could not be processed";
/** No model client of ours takes audio. */
export const OMITTED_AUDIO = "audio content omitted because you do not support audio input";
const REFUSED_PICTURE = "image content omitted because the model's server refused it";

const NOTE_TAG = "<pictures_omitted>";

/** What the model receives for pictures that its server has refused. In the history it takes them out of what is before it. */
export const refusedPicturesNote = (): ResponseItem =>
  developerMessage(
    `${NOTE_TAG}\nThe server refused the pictures above, so they are left out. Go on without them; say so where they matter.\n</pictures_omitted>`,
  );

export const isRefusedPicturesNote = (item: ResponseItem): boolean =>
  item.type === "message" && item.role === "developer" && textOf(item).startsWith(NOTE_TAG);

/** The URL as a model's server takes it; undefined for a data URL that holds no whole picture. Other URLs are not judged. */
export function pictureUrl(url: string): string | undefined {
  if (!/^data:/i.test(url)) return url;
  const comma = url.indexOf(",");
  if (comma === -1 || !/;base64$/i.test(url.slice(0, comma))) return undefined;
  return dataUrlOf(Buffer.from(url.slice(comma + 1), "base64"));
}

/** undefined when the bytes are no whole picture. */
export function dataUrlOf(bytes: Buffer): string | undefined {
  const type = pictureType(bytes);
  return type === undefined ? undefined : `data:${type};base64,${bytes.toString("base64")}`;
}

/** Histories are rebuilt, and their pictures are large: each item is looked at once. */
const looked = new WeakMap<ResponseItem, ResponseItem>();

/** The item with a text in the place of every picture that is none, and of what is to be heard. */
export function withoutBrokenPictures(item: ResponseItem): ResponseItem {
  if (!hasPicture(item) && !hasAudio(item)) return item;
  const found = looked.get(item);
  if (found !== undefined) return found;
  const whole = mapPictures(withoutAudio(item), (part) => {
    const url = pictureUrl(part.image_url);
    if (url === undefined) return { type: "input_text", text: OMITTED_PICTURE };
    return url === part.image_url ? part : { ...part, image_url: url };
  });
  looked.set(item, whole);
  looked.set(whole, whole);
  return whole;
}

export const withoutPictures = (item: ResponseItem): ResponseItem =>
  mapPictures(item, () => ({ type: "input_text", text: REFUSED_PICTURE }));

export const hasPicture = (item: ResponseItem): boolean => partsOf(item)?.some(isPicture) ?? false;

const isAudio = ({ type }: { type: string }): boolean => type === "input_audio";

const hasAudio = (item: ResponseItem): boolean => partsOf(item)?.some(isAudio) ?? false;

const withoutAudio = (item: ResponseItem): ResponseItem =>
  mapParts(item, (part) => (isAudio(part) ? { type: "input_text", text: OMITTED_AUDIO } : part));

type Picture = Extract<ContentItem, { type: "input_image"; image_url: string }>;

const isPicture = (part: ContentItem): part is Picture =>
  part.type === "input_image" && typeof part.image_url === "string";

function partsOf(item: ResponseItem): readonly ContentItem[] | undefined {
  if (item.type === "message") return item.content;
  if (item.type !== "function_call_output" && item.type !== "custom_tool_call_output") return undefined;
  return typeof item.output === "string" ? undefined : item.output;
}

const mapPictures = (item: ResponseItem, change: (part: Picture) => ContentItem): ResponseItem =>
  mapParts(item, (part) => (isPicture(part) ? change(part) : part));

function mapParts(item: ResponseItem, change: (part: ContentItem) => ContentItem): ResponseItem {
  const parts = partsOf(item)?.map(change);
  if (parts === undefined) return item;
  return item.type === "message" ? { ...item, content: parts } : ({ ...item, output: parts } as ResponseItem);
}

/** What a failure says of the pictures that were sent: nothing, that they were refused, or that something was. */
export function refusalIn(error: unknown): "none" | "pictures" | "something" {
  if (!(error instanceof ModelError) || error.info === "context_window_exceeded") return "none";
  const { httpStatus: status = 400, message } = error;
  if (status < 400 || status > 499 || NOT_OF_THE_INPUT.has(status) || error.retryable) return "none";
  if (status === 413 || status === 415 || /image|picture|media.?type/i.test(message)) return "pictures";
  return status === 400 || status === 422 ? "something" : "none";
}

/** Sign-in, time and limits. */
const NOT_OF_THE_INPUT: ReadonlySet<number> = new Set([401, 402, 403, 408, 409, 429]);
