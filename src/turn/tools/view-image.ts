import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import * as z from "zod";
import { raceAbort } from "../../kernel/cancellation.ts";
import { InvalidRequestError } from "../../protocol/errors.ts";
import { readBytes } from "../../services/bounded-read.ts";
import { ioText } from "../../services/io-failure.ts";
import { dataUrlOf, MAX_IMAGE_BYTES } from "../picture-content.ts";
import type { BuiltInTool } from "./built-in-tool.ts";

const argumentsSchema = z.looseObject({ path: z.string() });

/** Codex's `view_image`: the model gets to see a picture that lies on the disk. What is none is refused in Codex's words. */
export const viewImage: BuiltInTool = {
  idempotent: true,
  spec: {
    type: "function",
    name: "view_image",
    description: "Shows you a picture that is a file on this machine: PNG, JPEG, GIF or WebP.",
    strict: false,
    parameters: {
      type: "object",
      properties: { path: { type: "string", description: "Where the file is; relative to the working directory" } },
      required: ["path"],
      additionalProperties: false,
    },
  },
  async run(call) {
    const path = resolve(call.config.cwd, call.argumentsAs(argumentsSchema).path);
    const url = dataUrlOf(await raceAbort(read(path), call.signal));
    if (url === undefined) throw new InvalidRequestError(NO_PICTURE);
    const item = { type: "ImageView" as const, id: call.callId, path };
    call.startItem(item);
    call.completeItem(item);
    call.publish({ type: "view_image_tool_call", call_id: call.callId, path });
    return [{ type: "input_image", image_url: url, detail: "high" }];
  },
};

const NO_PICTURE = "unable to process image: invalid or unsupported image data";

async function read(path: string): Promise<Buffer> {
  const found = await stat(path).catch((error: unknown) => {
    throw new InvalidRequestError(`unable to locate image at \`${path}\`: ${ioText(error)}`, { cause: error });
  });
  if (!found.isFile()) throw new InvalidRequestError(`image path \`${path}\` is not a file`);
  return await readBytes(path, MAX_IMAGE_BYTES).catch((error: unknown) => {
    throw new InvalidRequestError(`unable to read image at \`${path}\`: ${ioText(error)}`, { cause: error });
  });
}
