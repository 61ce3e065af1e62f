import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { raceAbort } from "../kernel/cancellation.ts";
import { newItemId } from "../protocol/ids.ts";
import { type ContentItem, type NamedOutputItem, type ResponseItem, userMessage } from "../protocol/response-item.ts";
import { isToolOutput, type ToolOutputInput, type UserInput } from "../protocol/user-input.ts";
import { readBytes } from "../services/bounded-read.ts";
import { ioText } from "../services/io-failure.ts";
import { dataUrlOf, MAX_IMAGE_BYTES, OMITTED_AUDIO, OMITTED_PICTURE, pictureUrl } from "./picture-content.ts";

/** The outputs of tools in an input, as items of their own, and what else it says; undefined: nothing else. */
export function splitInput(items: readonly UserInput[]): {
  readonly outputs: readonly NamedOutputItem[];
  readonly said: readonly UserInput[] | undefined;
} {
  if (!items.some(isToolOutput)) return { outputs: [], said: items };
  const said = items.filter((item) => !isToolOutput(item));
  return { outputs: items.filter(isToolOutput).map(namedOutput), said: said.length === 0 ? undefined : said };
}

/** Everything that a user's input becomes. */
export async function itemsOf(items: readonly UserInput[], where: Place): Promise<ResponseItem[]> {
  const { outputs, said } = splitInput(items);
  return said === undefined ? [...outputs] : [...outputs, await messageOf(said, where)];
}

/** `cwd`: what relative paths start from. */
type Place = { readonly cwd: string; readonly signal: AbortSignal };

const namedOutput = ({ name, namespace, output, retain }: ToolOutputInput): NamedOutputItem => ({
  type: "function_call_output",
  id: `fco_${newItemId()}`,
  name,
  ...(namespace !== undefined && { namespace }),
  output,
  ...(retain === true && { retain }),
});

/**
 * The one message that a user's input becomes (SPEC 2); at once, unless a local image has to be read. What is no picture, a
 * file that cannot be read, and one that is still being read at an abort become texts that say so. A local image is framed
 * with its number and its path. Skills and unknown kinds add no content of their own.
 */
export function messageOf(items: readonly UserInput[], { cwd, signal }: Place): ResponseItem | Promise<ResponseItem> {
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
