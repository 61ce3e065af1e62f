import { z } from "zod";
import type { UnknownTagged } from "./unknown-kind.ts";

/** A span of a text that the client shows in another way, e.g. a mention. Offsets are UTF-8 bytes. */
export type TextElement = { byte_range: { start: number; end: number }; placeholder?: string | null | undefined };

/** One part of what a user sends (SPEC 2). Kinds that this version does not know survive. */
export type UserInput =
  | { type: "text"; text: string; text_elements?: TextElement[] | undefined }
  | { type: "image"; image_url: string }
  | { type: "local_image"; path: string }
  | { type: "skill"; name: string; path: string }
  | UnknownTagged;

export const textElementSchema: z.ZodType<TextElement> = z.looseObject({
  byte_range: z.looseObject({ start: z.int().min(0), end: z.int().min(0) }),
  placeholder: z.string().nullish(),
});

const known = {
  text: z.looseObject({
    type: z.literal("text"),
    text: z.string(),
    text_elements: z.array(textElementSchema).optional(),
  }),
  image: z.looseObject({ type: z.literal("image"), image_url: z.string() }),
  local_image: z.looseObject({ type: z.literal("local_image"), path: z.string() }),
  skill: z.looseObject({ type: z.literal("skill"), name: z.string(), path: z.string() }),
};

const unknownInputSchema = z.looseObject({ type: z.string().refine((type) => !Object.hasOwn(known, type)) });

/** A known kind with wrong fields is an error; an unknown kind passes as it is. */
export const userInputSchema = z.union([
  z.discriminatedUnion("type", [known.text, known.image, known.local_image, known.skill]),
  unknownInputSchema,
]) as unknown as z.ZodType<UserInput>;
