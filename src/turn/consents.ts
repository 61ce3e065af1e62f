/**
 * What the user has allowed for as long as the thread stays in memory: single actions by their key, and commands by the
 * words that they begin with. Nothing of it is stored.
 */
export class Consents {
  readonly #actions = new Set<string>();
  readonly #prefixes: (readonly string[])[] = [];

  allow(action: string): void {
    this.#actions.add(action);
  }

  allows(action: string): boolean {
    return this.#actions.has(action);
  }

  /** From now on a command that begins with these words may run. No words allow nothing. */
  allowPrefix(words: readonly string[]): void {
    if (words.length > 0) this.#prefixes.push([...words]);
  }

  allowsCommand(words: readonly string[]): boolean {
    return this.#prefixes.some((prefix) => prefix.every((word, index) => words[index] === word));
  }
}
