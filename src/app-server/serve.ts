/** What `skein app-server` does. */
import { flushCompileCache } from "node:module";
import { untilAborted } from "../kernel/abort-listeners.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { AppServerCommand } from "./app-server-command.ts";
import { Reception } from "./reception.ts";
import { readListenUrl } from "./transports/listen.ts";
import type { ListenAuth, Listener } from "./transports/listener.ts";

/** Turns of the event loop that it takes to read a line that has come, and to write its answer. */
const TURNS_FIRST = 4;

/**
 * Serves until a signal fires; over stdio, until the client ends its input and everything is answered. A client that has asked by
 * then is told as well what keeps the server from its work.
 * @throws InvalidRequestError
 */
export async function runAppServer(command: AppServerCommand): Promise<void> {
  const { home, cwd, listen, logger } = command;
  const auth = authOf(command);
  await using reception = new Reception({ home, cwd, logger });
  const listener = await reception.listen(listen, auth);
  // A client that has asked already is answered before this thread is busy with loading what all else needs.
  for (let turn = 0; turn < TURNS_FIRST; turn += 1) await nextTurn();
  try {
    await serveThose(reception, listener, command);
  } catch (error) {
    reception.refuse(error);
    await nextTurn();
    throw error;
  }
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

async function serveThose(reception: Reception, { url }: Listener, command: AppServerCommand): Promise<void> {
  const { signal, drain = signal } = command;
  const { openHomeOf, overManager, overCluster } = await import("./serving.ts");
  const home = await openHomeOf(command);
  try {
    const serve = command.cluster === undefined ? overManager : overCluster;
    await using serving = await serve(command, home, reception);
    serving.begin();
    // Node keeps what it has compiled when a process ends; clients may kill this one, and every start would be a first one.
    flushCompileCache?.();
    if (readListenUrl(command.listen).kind === "stdio") {
      await Promise.race([reception.whenIdle(), untilAborted(drain), untilAborted(signal)]);
    } else {
      command.onListening?.(url);
      await Promise.race([untilAborted(drain), untilAborted(signal)]);
      await Promise.race([serving.drained(), untilAborted(signal)]);
      // The end of the last turn is to reach its clients: what they are told goes out with the next turn of the event loop.
      await nextTurn();
    }
  } finally {
    await home.close();
  }
}

function authOf({ wsAuth, wsTokenFile, wsTokenSha256 }: AppServerCommand): ListenAuth {
  if (wsAuth !== undefined && wsAuth !== "capability-token") {
    throw new InvalidRequestError(`--ws-auth: \`${wsAuth}\` is not known; capability-token is`);
  }
  const hasToken = wsTokenFile !== undefined || wsTokenSha256 !== undefined;
  if (hasToken !== (wsAuth !== undefined)) {
    throw new InvalidRequestError("--ws-auth capability-token goes together with --ws-token-file or --ws-token-sha256");
  }
  return { tokenFile: wsTokenFile, tokenSha256: wsTokenSha256 };
}
