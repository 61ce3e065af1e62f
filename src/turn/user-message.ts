import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { raceAbort } from "../kernel/cancellation.ts";
import { type ContentItem, type ResponseItem, userMessage } from "../protocol/response-item.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { readBytes } from "../services/bounded-read.ts";
import { ioText } from "../services/io-failure.ts";
import { dataUrlOf, MAX_IMAGE_BYTES, OMITTED_AUDIO, OMITTED_PICTURE, pictureUrl } from "./picture-content.ts";

/**
 * The one message that a user's input becomes (SPEC 2); at once, unless a local image has to be read. What is no picture, a
 * file that cannot be read, and one that is still being read at an abort become texts that say so. A local image is framed
 * with its number and its path. Skills and unknown kinds add no content of their own.
 * @param cwd what relative paths start from
 */
export function messageOf(
  items: readonly UserInput[],
  { cwd, signal }: { cwd: string; signal: AbortSignal },
): ResponseItem | Promise<ResponseItem> {
  if (!items.some(isLocal)) return userMessage(items.flatMap(contentOf));
  let count = 0;
  const parts = items.map((item) => {
    if (!isLocal(item)) return contentOf(item);
    const { path } = item;
    if (item.type === "local_audio") return localAudio(resolve(cwd, path), path);
    count += 1;
    return localImage(resolve(cwd, path), { path, number: count, signal, detail: item.detail });
  });
  return Promise.all(parts).then((contents) => userMessage(contents.flat()));
}

function contentOf(item: UserInput): ContentItem[] {
  if (item.type === "text") return [text(item.text)];
  if (item.type === "audio") return [text(OMITTED_AUDIO)];
  if (item.type !== "image") return [];
  const { image_url: url, detail } = item;
  if (url === undefined) return [{ type: "input_image", file_id: item.file_id, detail: detail ?? "high" }];
  return [imagePart(pictureUrl(url), detail)];
}

async function localImage(
  file: string,
  { path, number, signal, detail }: { path: string; number: number; signal: AbortSignal; detail?: unknown },
): Promise<ContentItem[]> {
  try {
    const bytes = await raceAbort(readBytes(file, MAX_IMAGE_BYTES), signal);
    return [
      text(`<image name=[Image #${number}] path="${path}">`),
      imagePart(dataUrlOf(bytes), detail),
      text("</image>"),
    ];
  } catch (error) {
    if (signal.aborted) return [unread("image", path, "the turn was ended while it was being read")];
    const isFolder = await stat(file).then(
      (found) => found.isDirectory(),
      () => false,
    );
    return [unread("image", path, isFolder ? IS_FOLDER : ioText(error))];
  }
}

/** No model client of ours takes audio; what is no file is told as such all the same. */
async function localAudio(file: string, path: string): Promise<ContentItem[]> {
  try {
    return [(await stat(file)).isDirectory() ? unread("audio", path, IS_FOLDER) : text(OMITTED_AUDIO)];
  } catch (error) {
    return [unread("audio", path, ioText(error))];
  }
}

const IS_FOLDER = "Is a directory (os error 21)";

type LocalInput = Extract<UserInput, { type: "local_image" | "local_audio" }>;

const isLocal = (item: UserInput): item is LocalInput => item.type === "local_image" || item.type === "local_audio";

const unread = (kind: "image" | "audio", path: string, why: string): ContentItem =>
  text(`Codex could not read the local ${kind} at \`${path}\`: ${why}`);

const text = (words: string): ContentItem => ({ type: "input_text", text: words });

const imagePart = (url: string | undefined, detail: unknown = "high"): ContentItem =>
  url === undefined ? text(OMITTED_PICTURE) : { type: "input_image", image_url: url, detail: detail ?? "high" };
