/**
 * The pictures and files in what the model is sent, and reasoning that its server has sealed. What the server would refuse,
 * or has refused, would fail every later turn of the thread, so a text stands in its place, or nothing.
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
const REFUSED_FILE = "file content omitted because the model's server refused it";

const NOTE_TAG = "<pictures_omitted>";

/** What the model receives for pictures that its server has refused. In the history it takes them out of what is before it. */
export const refusedPicturesNote = (): ResponseItem =>
  developerMessage(
    `${NOTE_TAG}\nThe server refused the pictures above, so they are left out. Go on without them; say so where they matter.\n</pictures_omitted>`,
  );

export const isRefusedPicturesNote = (item: ResponseItem): boolean =>
  item.type === "message" && item.role === "developer" && textOf(item).startsWith(NOTE_TAG);

const REASONING_TAG = "<reasoning_omitted>";

/** The same for sealed reasoning that another server, or another account, has made: nobody else can open it. */
export const refusedReasoningNote = (): ResponseItem =>
  developerMessage(
    `${REASONING_TAG}\nThe server could not read the reasoning above, so it is left out.\n</reasoning_omitted>`,
  );

export const isRefusedReasoningNote = (item: ResponseItem): boolean =>
  item.type === "message" && item.role === "developer" && textOf(item).startsWith(REASONING_TAG);

export const isSealed = (item: ResponseItem): boolean =>
  (item.type === "reasoning" || item.type === "compaction") && item.encrypted_content != null;

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
    if (typeof part.image_url !== "string") return part;
    const url = pictureUrl(part.image_url);
    if (url === undefined) return { type: "input_text", text: OMITTED_PICTURE };
    return url === part.image_url ? part : { ...part, image_url: url };
  });
  looked.set(item, whole);
  looked.set(whole, whole);
  return whole;
}

export const withoutPictures = (item: ResponseItem): ResponseItem =>
  mapPictures(item, ({ type }) => ({
    type: "input_text",
    text: type === "input_image" ? REFUSED_PICTURE : REFUSED_FILE,
  }));

export const hasPicture = (item: ResponseItem): boolean => partsOf(item)?.some(isPicture) ?? false;

const isAudio = ({ type }: { type: string }): boolean => type === "input_audio";

const hasAudio = (item: ResponseItem): boolean => partsOf(item)?.some(isAudio) ?? false;

const withoutAudio = (item: ResponseItem): ResponseItem =>
  mapParts(item, (part) => (isAudio(part) ? { type: "input_text", text: OMITTED_AUDIO } : part));

/** A picture or a file, with its bytes or by the id that it has at the model's server. */
type Picture = { readonly type: string; readonly image_url?: unknown };
const PICTURES: ReadonlySet<string> = new Set(["input_image", "input_file"]);

const isPicture = (part: ContentItem): part is ContentItem & Picture => PICTURES.has(part.type);

function partsOf(item: ResponseItem): readonly ContentItem[] | undefined {
  if (item.type === "message") return item.content;
  if (item.type !== "function_call_output" && item.type !== "custom_tool_call_output") return undefined;
  return typeof item.output === "string" ? undefined : item.output;
}

const mapPictures = (item: ResponseItem, change: (part: ContentItem & Picture) => ContentItem): ResponseItem =>
  mapParts(item, (part) => (isPicture(part) ? change(part) : part));

function mapParts(item: ResponseItem, change: (part: ContentItem) => ContentItem): ResponseItem {
  const parts = partsOf(item)?.map(change);
  if (parts === undefined) return item;
  return item.type === "message" ? { ...item, content: parts } : ({ ...item, output: parts } as ResponseItem);
}

/** What a failure says was refused of what was sent: nothing, pictures or files, sealed reasoning, or something unnamed. */
export function refusalIn(error: unknown): "none" | "pictures" | "reasoning" | "something" {
  if (!(error instanceof ModelError) || error.info === "context_window_exceeded") return "none";
  const { httpStatus: status = 400, message } = error;
  if (status < 400 || status > 499 || NOT_OF_THE_INPUT.has(status) || error.retryable) return "none";
  if (/encrypted[ _]content/i.test(message)) return "reasoning";
  if (
    status === 413 ||
    status === 415 ||
    /image|picture|media.?type|\bfile[ _-]?id|\bfile-\w|file .*not found|no such file/i.test(message)
  )
    return "pictures";
  return status === 400 || status === 422 ? "something" : "none";
}

/** Sign-in, time and limits. */
const NOT_OF_THE_INPUT: ReadonlySet<number> = new Set([401, 402, 403, 408, 409, 429]);
