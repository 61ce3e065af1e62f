/**
 * A plan within a message: what stands between a line `<proposed_plan>` and a line `</proposed_plan>`, as the message streams. A line
 * that may still become a tag is held back; an open block lasts until the message ends; the last of several blocks counts.
 */

export type PlanPart = { readonly type: "text" | "plan"; readonly text: string };

const TAGS = { open: "<proposed_plan>", close: "</proposed_plan>" } as const;

export class PlanSplitter {
  #isOpen = false;
  /** The beginning of a line that may be a tag. */
  #held = "";
  #isAtLineStart = true;
  #text = "";
  #plan: string | undefined;

  /** What the message says beside its plans. */
  get text(): string {
    return this.#text;
  }

  /** The last plan, without its tags; undefined: there is none. */
  get plan(): string | undefined {
    return this.#plan;
  }

  take(delta: string): PlanPart[] {
    const parts: PlanPart[] = [];
    for (const piece of delta.match(/[^\n]*\n|[^\n]+$/g) ?? []) this.#takePiece(piece, parts);
    return parts;
  }

  /** The message is over. */
  end(): PlanPart[] {
    const parts: PlanPart[] = [];
    if (this.#held !== "") this.#takeLine(this.#held, parts);
    this.#held = "";
    return parts;
  }

  /** Of one line, at most. */
  #takePiece(piece: string, parts: PlanPart[]): void {
    const isWhole = piece.endsWith("\n");
    if (this.#isAtLineStart || this.#held !== "") {
      this.#held += piece;
      this.#isAtLineStart = false;
      if (!isWhole && this.#mayBeTag(this.#held)) return;
      const line = this.#held;
      this.#held = "";
      this.#takeLine(line, parts);
    } else this.#put(piece, parts);
    if (isWhole) this.#isAtLineStart = true;
  }

  #mayBeTag(line: string): boolean {
    const tag = this.#isOpen ? TAGS.close : TAGS.open;
    return tag.startsWith(line.trim());
  }

  #takeLine(line: string, parts: PlanPart[]): void {
    const tag = this.#isOpen ? TAGS.close : TAGS.open;
    if (line.trim() !== tag) {
      this.#put(line, parts);
      return;
    }
    this.#isOpen = !this.#isOpen;
    if (this.#isOpen) this.#plan = "";
  }

  #put(text: string, parts: PlanPart[]): void {
    if (this.#isOpen) this.#plan += text;
    else this.#text += text;
    parts.push({ type: this.#isOpen ? "plan" : "text", text });
  }
}

/** A whole message in one go. */
export function splitPlan(message: string): { readonly text: string; readonly plan: string | undefined } {
  const splitter = new PlanSplitter();
  splitter.take(message);
  splitter.end();
  return splitter;
}
