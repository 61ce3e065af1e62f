/** What became of each mutant in earlier runs: one that is dead stays dead until its file or its killer changes. */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

export type Entry = {
  readonly mutant: string;
  readonly path: string;
  /** Of the file that it is in, and of the tests that said so: the killer, or all that were asked. */
  readonly source: string;
  readonly asked: string;
  readonly killer: string | undefined;
  readonly isTimedOut: boolean;
};

export class Journal {
  readonly #file: string;
  readonly #entries = new Map<string, Entry>();
  /** How often a test has noticed mutants of a file, as `PATH TEST`. */
  readonly #kills = new Map<string, number>();

  readonly #killsBy = new Map<string, number>();

  constructor(file: string) {
    this.#file = file;
    mkdirSync(dirname(file), { recursive: true });
    if (!existsSync(file)) return;
    for (const line of readFileSync(file, "utf8").split("\n")) if (line !== "") this.#take(JSON.parse(line) as Entry);
  }

  of(mutant: string): Entry | undefined {
    return this.#entries.get(mutant);
  }

  killsOf(path: string, test: string): number {
    return this.#kills.get(`${path} ${test}`) ?? 0;
  }

  /** How often it has noticed any mutant. */
  killsBy(test: string): number {
    return this.#killsBy.get(test) ?? 0;
  }

  add(entry: Entry): void {
    appendFileSync(this.#file, `${JSON.stringify(entry)}\n`);
    this.#take(entry);
  }

  #take(entry: Entry): void {
    this.#entries.set(entry.mutant, entry);
    const { path, killer } = entry;
    if (killer === undefined) return;
    this.#kills.set(`${path} ${killer}`, this.killsOf(path, killer) + 1);
    this.#killsBy.set(killer, this.killsBy(killer) + 1);
  }
}
