/** Texts in the cells of a terminal. */
import { stripVTControlCharacters } from "node:util";
import stringWidth from "string-width";

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const ASCII = /^[\x20-\x7e]*$/;

/** How many cells a text takes; colours take none. */
export function widthOf(text: string): number {
  const bare = stripVTControlCharacters(text);
  return ASCII.test(bare) ? bare.length : stringWidth(bare);
}

/** The text in at most so many cells, `…` where something was cut off. It must hold no colours. */
export function fit(text: string, cells: number): string {
  if (cells <= 0) return "";
  if (widthOf(text) <= cells) return text;
  let kept = "";
  let used = 0;
  for (const { segment } of segmenter.segment(text)) {
    used += stringWidth(segment);
    if (used > cells - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}

export const padEnd = (text: string, cells: number): string => text + " ".repeat(Math.max(0, cells - widthOf(text)));
export const padStart = (text: string, cells: number): string => " ".repeat(Math.max(0, cells - widthOf(text))) + text;
