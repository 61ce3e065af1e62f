/** Reads patches in the form that models are taught: `*** Begin Patch`, files to add, delete, update and move, `*** End Patch`. */

export type Hunk =
  | { readonly type: "add"; readonly path: string; readonly content: string }
  | { readonly type: "delete"; readonly path: string }
  | {
      readonly type: "update";
      readonly path: string;
      readonly moveTo: string | null;
      readonly chunks: readonly Chunk[];
    };

/** Lines to be found, and what takes their place. */
export type Chunk = {
  /** A line that stands somewhere before them: a function's head, say. */
  readonly context: string | null;
  readonly oldLines: readonly string[];
  readonly newLines: readonly string[];
  readonly isAtEnd: boolean;
};

/** A patch that cannot be read, or does not fit the files. The message is for the model. */
export class PatchError extends Error {}

const BEGIN = "*** Begin Patch";
const END = "*** End Patch";
const ADD = "*** Add File: ";
const DELETE = "*** Delete File: ";
const UPDATE = "*** Update File: ";
const MOVE = "*** Move to: ";
const END_OF_FILE = "*** End of File";

/** @throws PatchError */
export function parsePatch(text: string): Hunk[] {
  // A patch that is itself written with carriage returns does not mean them: the files say how their lines end.
  const lines = unwrapped(text.trim().split(/^[^\n]*\r\n/.test(text.trim()) ? /\r?\n/ : "\n"));
  if (lines[0]?.trim() !== BEGIN) throw new PatchError(`invalid patch: The first line of the patch must be '${BEGIN}'`);
  if (lines.length < 2 || lines.at(-1)?.trim() !== END) {
    throw new PatchError(`invalid patch: The last line of the patch must be '${END}'`);
  }
  const reader = new PatchReader(lines.slice(0, -1));
  const hunks: Hunk[] = [];
  while (!reader.isDone) hunks.push(reader.hunk());
  return hunks;
}

/** Some models wrap a patch in the heredoc that a shell would need. */
function unwrapped(lines: string[]): string[] {
  const isWrapped = /^<<\s*(['"]?)EOF\1$/.test(lines[0] ?? "") && lines.length >= 4 && lines.at(-1)?.trim() === "EOF";
  return isWrapped ? lines.slice(1, -1) : lines;
}

class PatchReader {
  readonly #lines: readonly string[];
  #at = 1;

  constructor(lines: readonly string[]) {
    this.#lines = lines;
  }

  get isDone(): boolean {
    return this.#at >= this.#lines.length;
  }

  get #line(): string {
    return this.#lines[this.#at] ?? "";
  }

  #fail(message: string): never {
    throw new PatchError(`invalid hunk at line ${this.#at + 1}, ${message}`);
  }

  hunk(): Hunk {
    const header = this.#line.trim();
    if (header.startsWith(ADD)) return this.#add(header.slice(ADD.length));
    if (header.startsWith(DELETE)) {
      this.#at += 1;
      return { type: "delete", path: header.slice(DELETE.length) };
    }
    if (header.startsWith(UPDATE)) return this.#update(header.slice(UPDATE.length));
    this.#fail(
      `'${header}' is not a valid hunk header. Valid hunk headers: '${ADD}{path}', '${DELETE}{path}', '${UPDATE}{path}'`,
    );
  }

  #add(path: string): Hunk {
    this.#at += 1;
    let content = "";
    while (!this.isDone && this.#line.startsWith("+")) {
      content += `${this.#line.slice(1)}\n`;
      this.#at += 1;
    }
    return { type: "add", path, content };
  }

  #update(path: string): Hunk {
    const start = this.#at;
    this.#at += 1;
    let moveTo: string | null = null;
    if (this.#line.startsWith(MOVE)) {
      moveTo = this.#line.slice(MOVE.length).trim();
      this.#at += 1;
    }
    const chunks: Chunk[] = [];
    while (!this.isDone && !this.#line.startsWith("***")) {
      if (this.#line.trim() === "") this.#at += 1;
      else chunks.push(this.#chunk(chunks.length === 0));
    }
    if (chunks.length === 0 && moveTo === null) {
      this.#at = start;
      this.#fail(`Update file hunk for path '${path}' is empty`);
    }
    return { type: "update", path, moveTo, chunks };
  }

  /** Only the first chunk may do without its `@@`. */
  #chunk(isFirst: boolean): Chunk {
    const context = this.#contextLine(isFirst);
    const oldLines: string[] = [];
    const newLines: string[] = [];
    let isAtEnd = false;
    let count = 0;
    for (; !this.isDone && !isAtEnd; count += 1) {
      const line = this.#line;
      const text = line.slice(1);
      if (line.trimEnd() === END_OF_FILE && count > 0) isAtEnd = true;
      else if (line === "" || line.startsWith(" ")) {
        oldLines.push(text);
        newLines.push(text);
      } else if (line.startsWith("+")) newLines.push(text);
      else if (line.startsWith("-")) oldLines.push(text);
      else if (count > 0) break;
      else
        this.#fail(
          `Unexpected line found in update hunk: '${line}'. Every line should start with ' ' (context line), '+' (added line), or '-' (removed line)`,
        );
      this.#at += 1;
    }
    if (count === 0) this.#fail("Update hunk does not contain any lines");
    return { context, oldLines, newLines, isAtEnd };
  }

  #contextLine(isFirst: boolean): string | null {
    const line = this.#line.trimEnd();
    if (line === "@@" || line.startsWith("@@ ")) {
      this.#at += 1;
      return line === "@@" ? null : line.slice(3);
    }
    if (isFirst) return null;
    this.#fail(`Expected update hunk to start with a @@ context marker, got: '${line}'`);
  }
}
