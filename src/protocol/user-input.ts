import * as z from "zod";
import { type ContentItem, toolOutputSchema } from "./response-item.ts";
import type { UnknownTagged } from "./unknown-kind.ts";
import { schemaByKind } from "./validation.ts";

/** A span of a text that the client shows in another way, e.g. a mention. Offsets are UTF-8 bytes. */
export type TextElement = { byte_range: { start: number; end: number }; placeholder?: string | null | undefined };

/** One part of what a user sends (SPEC 2). An image of a `file_id` lies at the model's server. Kinds that this version does not know survive. */
export type UserInput =
  | { type: "text"; text: string; text_elements?: TextElement[] | null | undefined }
  | { type: "image"; image_url: string; detail?: unknown }
  | { type: "image"; file_id: string; image_url?: never; detail?: unknown }
  | { type: "local_image"; path: string; detail?: unknown }
  | { type: "audio"; audio_url: string }
  | { type: "local_audio"; path: string }
  | { type: "skill"; name: string; path: string }
  | { type: "mention"; name: string; path: string }
  | ToolOutputInput
  | UnknownTagged;

/**
 * What a tool of the sender's own has come to, unasked by the model: an item of its own, and no part of what the user says. `retain`: it
 * stays when the conversation is summed up, as long as there is room.
 */
export type ToolOutputInput = {
  type: "tool_output";
  name: string;
  namespace?: string | undefined;
  output: string | ContentItem[];
  retain?: boolean | undefined;
};

export const isToolOutput = (item: UserInput): item is ToolOutputInput => item.type === "tool_output";

const textElementSchema: z.ZodType<TextElement> = z.looseObject({
  byte_range: z.looseObject({ start: z.int().min(0), end: z.int().min(0) }),
  placeholder: z.string().nullish(),
});

const known = new Map<string, z.ZodType>([
  ["text", z.looseObject({ type: z.string(), text: z.string(), text_elements: z.array(textElementSchema).optional() })],
  ["image", z.looseObject({ type: z.string(), image_url: z.string() }).or(z.looseObject({ file_id: z.string() }))],
  ["local_image", z.looseObject({ type: z.string(), path: z.string() })],
  ["audio", z.looseObject({ type: z.string(), audio_url: z.string() })],
  ["local_audio", z.looseObject({ type: z.string(), path: z.string() })],
  ["skill", z.looseObject({ type: z.string(), name: z.string(), path: z.string() })],
  ["mention", z.looseObject({ type: z.string(), name: z.string(), path: z.string() })],
  [
    "tool_output",
    z.looseObject({
      type: z.string(),
      name: z.string(),
      namespace: z.string().optional(),
      output: toolOutputSchema,
      retain: z.boolean().optional(),
    }),
  ],
]);

/** The kinds of input that this version can do something with. */
export const INPUT_KINDS: readonly string[] = [...known.keys()];

/** A known kind with wrong fields is an error; an unknown kind passes as it is. */
export const userInputSchema = schemaByKind(known) as z.ZodType<UserInput>;
