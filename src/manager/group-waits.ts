/** Who waits for something to be so in a group: of one of its members, or of the group as a whole. */
export class GroupWaits {
  /** By the member; undefined: the group. So a change costs the waits that it may end, and not all there are. */
  readonly #waits = new Map<string | undefined, Set<() => void>>();
  #isClosed = false;

  /** Resolves when it is so, or when the manager ends. */
  until(member: string | undefined, isSo: () => boolean): Promise<void> {
    if (this.#isClosed || isSo()) return Promise.resolve();
    const waits = this.#waits.get(member) ?? new Set();
    this.#waits.set(member, waits);
    return new Promise((resolve) => {
      const look = () => {
        if (!this.#isClosed && !isSo()) return;
        waits.delete(look);
        if (waits.size === 0 && this.#waits.get(member) === waits) this.#waits.delete(member);
        resolve();
      };
      waits.add(look);
    });
  }

  /** The group has changed, and these of its members. */
  look(members: Iterable<string>): void {
    for (const member of [undefined, ...members]) for (const look of [...(this.#waits.get(member) ?? [])]) look();
  }

  /** Nobody waits any more. */
  close(): void {
    this.#isClosed = true;
    this.look([...this.#waits.keys()].filter((member) => member !== undefined));
  }
}
