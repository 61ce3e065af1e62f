import type { Connection } from "../../connection.ts";
import { invalidRequest } from "../../rpc-error.ts";
import type { CommandRun } from "./run.ts";

/** The programs that run, by the ids that their clients gave them. An id means something to its own client only. */
export class RunBoard {
  readonly #words: { readonly id: string; readonly none: string };
  readonly #runs = new WeakMap<Connection, Map<string, CommandRun>>();

  /** @param words what is active twice, and what is not active, in Codex's words */
  constructor(words: { readonly id: string; readonly none: string }) {
    this.#words = words;
  }

  /** @throws RpcError -32600 when a program of that id runs */
  add(connection: Connection, id: string, run: CommandRun): void {
    const runs = this.#runs.get(connection) ?? new Map<string, CommandRun>();
    if (runs.has(id)) throw invalidRequest(`duplicate active ${this.#words.id}: ${JSON.stringify(id)}`);
    runs.set(id, run);
    this.#runs.set(connection, runs);
  }

  remove(connection: Connection, id: string): void {
    this.#runs.get(connection)?.delete(id);
  }

  /** @throws RpcError -32600 when none of that id runs */
  find(connection: Connection, id: string): CommandRun {
    const run = this.#runs.get(connection)?.get(id);
    if (run === undefined) throw invalidRequest(`no active ${this.#words.none} ${JSON.stringify(id)}`);
    return run;
  }
}
