/** Texts of others, for a terminal. */
import { stripVTControlCharacters } from "node:util";

/** On one line, without anything that a terminal would take for a command. */
export const oneLine = (text: string): string => harmless(text).replace(/\s+/gu, " ").trim();

/** Without anything that a terminal would take for a command; line breaks and tabs stay. */
export const harmless = (text: string): string =>
  stripVTControlCharacters(text).replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (char) =>
    char === "\n" || char === "\t" ? char : "",
  );
