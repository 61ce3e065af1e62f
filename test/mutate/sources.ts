/** The sources as they were when tests were looked at: of one that has changed since, a line that stands in it as it stood is still known. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hashOf } from "./coverage.ts";

export class Sources {
  readonly #kept: string;
  readonly #lines = new Map<string, readonly string[]>();

  /** @param kept the folder of what is known */
  constructor(kept: string) {
    this.#kept = kept;
    mkdirSync(kept, { recursive: true });
  }

  /** @returns by what name it is known */
  keep(text: string): string {
    const name = hashOf(text);
    const file = join(this.#kept, name);
    if (!existsSync(file)) writeFileSync(file, text);
    return name;
  }

  /** Where a place of a text was in an earlier one: in the same line, the nearest where there are many. Undefined in a new line. */
  placeIn(earlier: string, text: string, offset: number): number | undefined {
    const lines = this.#linesOf(earlier);
    const until = text.slice(0, offset).split("\n");
    const code = text.split("\n")[until.length - 1];
    const away = (at: number) => Math.abs(at - until.length + 1);
    const [nearest] = [...lines.keys()].filter((at) => lines[at] === code).toSorted((a, b) => away(a) - away(b));
    if (nearest === undefined) return undefined;
    const before = lines.slice(0, nearest).reduce((sum, line) => sum + line.length + 1, 0);
    return before + (until.at(-1)?.length ?? 0);
  }

  #linesOf(name: string): readonly string[] {
    const file = join(this.#kept, name);
    const lines = this.#lines.get(name) ?? (existsSync(file) ? readFileSync(file, "utf8").split("\n") : []);
    this.#lines.set(name, lines);
    return lines;
  }
}
