/** What `skein app-server` does. */
import { untilAborted } from "../kernel/abort-listeners.ts";
import { openHome } from "../manager/home.ts";
import { type BuiltInToolName, CODEX_TOOLS } from "../protocol/built-in-tool-names.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { parseOverride } from "../services/config-overrides.ts";
import type { AppServerCommand } from "./app-server-command.ts";
import { Reception } from "./reception.ts";
import { readListenUrl } from "./transports/listen.ts";
import type { ListenAuth } from "./transports/listener.ts";

/** As clients of Codex expect. */
export const DEFAULT_TOOLS: readonly BuiltInToolName[] = [...CODEX_TOOLS, "request_user_input", "multi_agent"];

/** Turns of the event loop that it takes to read a line that has come, and to write its answer. */
const TURNS_FIRST = 4;

/**
 * Serves until a signal fires; over stdio, until the client ends its input and everything is answered.
 * @throws InvalidRequestError
 */
export async function runAppServer(command: AppServerCommand): Promise<void> {
  const { listen, signal, drain = signal, logger } = command;
  const address = readListenUrl(listen);
  const auth = authOf(command);
  const home = await openHome({
    home: command.home,
    env: command.env,
    cwd: command.cwd,
    profile: command.profile,
    unknownSettings: command.unknownSettings,
    overrides: (command.config ?? []).map(parseOverride),
    typed: { builtInTools: command.tools ?? DEFAULT_TOOLS },
    sessionSource: "vscode",
    logger,
  });
  try {
    await using reception = new Reception({ home, cwd: command.cwd, logger });
    const listener = await reception.listen(listen, auth);
    // A client that has asked already is answered before this thread is busy with loading what all else needs.
    for (let turn = 0; turn < TURNS_FIRST; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const { overManager, overCluster } = await import("./serving.ts");
    const serve = command.cluster === undefined ? overManager : overCluster;
    await using serving = await serve(command, home, reception);
    serving.begin();
    if (address.kind === "stdio") {
      await Promise.race([reception.whenIdle(), untilAborted(drain), untilAborted(signal)]);
    } else {
      command.onListening?.(listener.url);
      await Promise.race([untilAborted(drain), untilAborted(signal)]);
      await Promise.race([serving.whenNoTurn(), untilAborted(signal)]);
      // The end of the last turn is to reach its clients: what they are told goes out with the next turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
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
