/**
 * What a browser gets of a listener: the page's files, a session for an invitation, and a line for a session. Nothing to
 * anybody else: not to a page of another origin, not by a name that somebody else's name server decides on, and no line to a
 * client without a session, also on loopback.
 *
 * - The token comes in the address's fragment, which no browser sends. The page gives it in a header, and then as an
 *   offered subprotocol, since a page can set no header of a WebSocket. It is never the chosen one.
 * - Whatever the page shows is text; the content security policy holds it to that.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Access } from "../app-server/studio/wire.ts";
import type { PageDoor, Refusal } from "../app-server/transports/listener.ts";
import type { PageFile } from "./page-files.ts";
import type { Tokens } from "./tokens.ts";

const PROTOCOL = "skein.v2";
const TOKEN_PREFIX = "skein.token.";
const ROOT = "/studio/";

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
  connection: "close",
};

export type DoorOptions = {
  readonly tokens: Tokens;
  readonly files: ReadonlyMap<string, PageFile>;
  readonly access: Access;
  /** The address under which a proxy shows the page; exact. */
  readonly origin?: string | undefined;
};

export class StudioDoor implements PageDoor {
  readonly protocol = PROTOCOL;
  readonly #options: DoorOptions;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    response.statusCode = this.#answer(request, response);
    if (response.statusCode !== 200) response.end();
  }

  /** The status; with 200 it has been answered. */
  #answer(request: IncomingMessage, response: ServerResponse): number {
    const { method, url = "" } = request;
    if (!this.#isOwn(request)) return 403;
    if (url === `${ROOT}session`) return this.#session(request, response);
    if (method !== "GET" && method !== "HEAD") return 405;
    if (url === "/" || url === "/studio") {
      response.setHeader("location", ROOT);
      return 302;
    }
    const file = url.startsWith(ROOT) ? this.#options.files.get(url.slice(ROOT.length) || "index.html") : undefined;
    if (file === undefined) return 404;
    response.setHeader("content-type", file.type);
    response.setHeader("content-length", file.body.length);
    response.statusCode = 200;
    response.end(method === "HEAD" ? undefined : file.body);
    return 200;
  }

  /** POST takes an invitation for a session, GET asks whether a session is one. */
  #session({ method, headers }: IncomingMessage, response: ServerResponse): number {
    const token = /^Bearer ([\w-]{1,128})$/.exec(headers.authorization ?? "")?.[1] ?? "";
    const { tokens } = this.#options;
    if (method === "GET") return tokens.isSession(token) ? 204 : 401;
    if (method !== "POST") return 405;
    const session = tokens.redeem(token);
    if (session === undefined) return 401;
    const body = JSON.stringify({ session });
    response.setHeader("content-type", "application/json");
    response.statusCode = 200;
    response.end(body);
    return 200;
  }

  admit(request: IncomingMessage): { readonly access: Access } | Refusal {
    const { headers } = request;
    if (!this.#isOwn(request)) return { status: "403 Forbidden", why: "only the studio's own page may connect" };
    const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((each) => each.trim());
    const token = offered.find((each) => each.startsWith(TOKEN_PREFIX))?.slice(TOKEN_PREFIX.length) ?? "";
    if (offered.includes(PROTOCOL) && this.#options.tokens.isSession(token)) return { access: this.#options.access };
    return { status: "401 Unauthorized", why: "the session is over; open the address that the server printed" };
  }

  /** Whether the request was made to this server by a name that is its own, and by nobody's page but its own. */
  #isOwn({ headers, socket }: IncomingMessage): boolean {
    const { host = "", origin } = headers;
    const site = headers["sec-fetch-site"];
    if (site !== undefined && site !== "same-origin" && site !== "none") return false;
    const known = this.#options.origin;
    if (known !== undefined && host === new URL(known).host) return origin === undefined || origin === known;
    const port = socket.localPort;
    const isLiteral = [`127.0.0.1:${port}`, `[::1]:${port}`, `localhost:${port}`].includes(host);
    return isLiteral && (origin === undefined || origin === `http://${host}`);
  }
}
