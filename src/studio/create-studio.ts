/** A live view of a manager, for a browser on this machine. */
import { createAppServer } from "../app-server/app-server.ts";
import type { AppServerOptions } from "../app-server/app-server-options.ts";
import type { Access } from "../app-server/studio/wire.ts";
import { readListenUrl } from "../app-server/transports/listen.ts";
import type { PageDoor } from "../app-server/transports/listener.ts";
import { isLoopback } from "../kernel/loopback.ts";
import type { ThreadManager } from "../manager/thread-manager.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { StudioDoor } from "./door.ts";
import { readPageFiles } from "./page-files.ts";
import { Tokens } from "./tokens.ts";

/** Where the page is served, and what it may do. */
export type StudioPageOptions = {
  /** `ws://IP:PORT` on loopback. Default `ws://127.0.0.1:0`: a free port. */
  readonly listen?: string | undefined;
  /** `act` (the default), `ask`: only looks until it has asked to act, or `look`: never more. */
  readonly access?: Access | undefined;
  /** The address under which a proxy of yours shows the page, such as `https://studio.example`; it has to speak TLS. */
  readonly origin?: string | undefined;
};

/** As for an app-server, which the page talks to, and for the page. */
export type StudioOptions = StudioPageOptions & AppServerOptions;

/** A page that is being served. The manager goes on when it is closed. */
export interface StudioServer extends AsyncDisposable {
  /** Where the page is; it shows nothing to who has no token. */
  readonly url: string;
  /** An address that opens the page once: in one browser, which can load it again. Treat it as a password. */
  invite(): string;
  /** Ends all lines. */
  close(): Promise<void>;
}

/**
 * Serves a live view of the manager on loopback. To look changes nothing; what is done on the page is done by the
 * app-server's own methods.
 *
 * @throws InvalidRequestError for an address off loopback, or where the page has not been built; StoreIoError when the
 *   port is taken
 */
export async function createStudio(manager: ThreadManager, options: StudioOptions = {}): Promise<StudioServer> {
  const server = createAppServer(manager, options);
  try {
    return await servePage(
      options,
      (url, page) => server.listen(url, { page }),
      () => server.close(),
    );
  } catch (error) {
    await server.close();
    throw error;
  }
}

/** Serves the page over a listener that `listen` makes. */
export async function servePage(
  { listen: address = "ws://127.0.0.1:0", access = "act", origin }: StudioPageOptions,
  listen: (url: string, page: PageDoor) => Promise<{ readonly url: string }>,
  close: () => Promise<void>,
): Promise<StudioServer> {
  const read = readListenUrl(address);
  if (read.kind !== "ws" || !isLoopback(read.host)) {
    throw new InvalidRequestError(
      `--listen: \`${address}\` must be ws://127.0.0.1:PORT or ws://[::1]:PORT; whoever has the page has a shell. To reach it from elsewhere, forward the port (ssh -L)`,
    );
  }
  const tokens = new Tokens();
  const door = new StudioDoor({ tokens, access, origin, files: await readPageFiles() });
  const listener = await listen(address, door);
  const url = `${origin ?? listener.url.replace(/^ws:/, "http:")}/studio/`;
  return { url, invite: () => `${url}#token=${tokens.invite()}`, close, [Symbol.asyncDispose]: close };
}
