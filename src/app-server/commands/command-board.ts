import type { Connection } from "../connection.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { CommandRun } from "./command-run.ts";

/** The commands that run, by the ids that their clients gave them. An id means something to its own client only. */
export class CommandBoard {
  readonly #runs = new WeakMap<Connection, Map<string, CommandRun>>();

  /** @throws RpcError -32600 when a command of that id runs */
  add(connection: Connection, processId: string, run: CommandRun): void {
    const runs = this.#runs.get(connection) ?? new Map<string, CommandRun>();
    if (runs.has(processId)) throw invalidRequest(`duplicate active command/exec process id: ${quoted(processId)}`);
    runs.set(processId, run);
    this.#runs.set(connection, runs);
  }

  remove(connection: Connection, processId: string): void {
    this.#runs.get(connection)?.delete(processId);
  }

  /** @throws RpcError -32600 when none of that id runs */
  find(connection: Connection, processId: string): CommandRun {
    const run = this.#runs.get(connection)?.get(processId);
    if (run === undefined) throw invalidRequest(`no active command/exec for process id ${quoted(processId)}`);
    return run;
  }
}

const quoted = (processId: string): string => JSON.stringify(processId);
