/** What each client watches. All of it ends with the client. */
import type { Connection } from "../connection.ts";

export class Watches {
  readonly #of = new WeakMap<Connection, Map<string, () => void>>();

  /** Puts a watch in place of the one of this name, which ends. */
  set(connection: Connection, name: string, end: () => void): void {
    this.end(connection, name);
    const known = this.#of.get(connection);
    if (known !== undefined) known.set(name, end);
    else this.#begin(connection).set(name, end);
    if (!connection.isOpen) this.end(connection, name);
  }

  #begin(connection: Connection): Map<string, () => void> {
    const watches = new Map<string, () => void>();
    this.#of.set(connection, watches);
    const onGone = () => {
      for (const end of watches.values()) end();
      watches.clear();
    };
    connection.signal.addEventListener("abort", onGone, { once: true });
    return watches;
  }

  /** false: there was none. */
  end(connection: Connection, name: string): boolean {
    const watches = this.#of.get(connection);
    const end = watches?.get(name);
    watches?.delete(name);
    end?.();
    return end !== undefined;
  }
}
