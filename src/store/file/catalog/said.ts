/** What the first user messages of a history say: its preview, and the text that a search looks at. */
import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import { SEARCHED_CHARS } from "../../thread-query.ts";
import { previewOf, userTextOf } from "../../thread-summary.ts";
import type { HistoryReader } from "../rollout/history-reader.ts";
import type { Segment } from "../rollout/segment.ts";

/** How much of a history is searched for the first user messages. */
const LOOKED_AT_BYTES = 1024 * 1024;

/** The first user message and the searched text, gathered line by line. */
export class SummaryText {
  preview: string;
  #text: string;

  constructor(preview = "", text = "") {
    this.preview = preview;
    this.#text = text;
  }

  get searchText(): string {
    return this.#text;
  }

  get isFull(): boolean {
    return this.#text.length >= SEARCHED_CHARS;
  }

  /** true: something changed. */
  add(userText: string): boolean {
    if (this.preview === "") this.preview = previewOf(userText);
    if (this.isFull) return false;
    const text = this.#text === "" ? userText : `${this.#text}\n${userText}`;
    this.#text = text.slice(0, SEARCHED_CHARS);
    return true;
  }
}

/** What the first user messages of the lines so far say, and how many bytes these have. */
export type Said = { readonly preview: string; readonly text: string; readonly bytes: number };

export const NOTHING_SAID: Said = { preview: "", text: "", bytes: 0 };

const isEnough = ({ text, bytes }: Said): boolean => text.length >= SEARCHED_CHARS || bytes > LOOKED_AT_BYTES;

/** With the lines of one more segment. */
export async function saidWith(reader: HistoryReader, said: Said, segment: Segment): Promise<Said> {
  if (isEnough(said)) return said;
  const summary = new SummaryText(said.preview, said.text);
  let { bytes } = said;
  const now = (): Said => ({ preview: summary.preview, text: summary.searchText, bytes });
  for (const page of reader.linesOf(segment)) {
    for (const { line, raw } of page) {
      const text = userTextOf(line);
      if (text !== undefined) summary.add(text);
      bytes += raw.end - raw.start;
      if (isEnough(now())) return now();
    }
    await yieldToLoop();
  }
  return now();
}

/** What the first user messages of these segments say. */
export async function readSaid(reader: HistoryReader, segments: readonly Segment[]): Promise<Said> {
  let said = NOTHING_SAID;
  for (const segment of segments) said = await saidWith(reader, said, segment);
  return said;
}
