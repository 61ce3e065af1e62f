/**
 * Who may look through the page. An address is good for one browser: its token is taken once, for a session that lasts as
 * long as the server. Neither is kept, shown or logged as it is; both are compared by their digests.
 */
import { createHash, randomBytes } from "node:crypto";

const BYTES = 32;
/** Of each kind; the oldest goes. */
const MOST = 64;

const digest = (token: string): string => createHash("sha256").update(token).digest("base64url");

const fresh = (): string => randomBytes(BYTES).toString("base64url");

export class Tokens {
  readonly #invitations = new Set<string>();
  readonly #sessions = new Set<string>();

  /** A token that is good for one session. */
  invite(): string {
    return this.#issue(this.#invitations);
  }

  /** The session of an invitation; undefined when it is none, or used. */
  redeem(invitation: string): string | undefined {
    return this.#invitations.delete(digest(invitation)) ? this.#issue(this.#sessions) : undefined;
  }

  isSession(token: string): boolean {
    return this.#sessions.has(digest(token));
  }

  #issue(tokens: Set<string>): string {
    const token = fresh();
    tokens.add(digest(token));
    const [oldest] = tokens;
    if (tokens.size > MOST && oldest !== undefined) tokens.delete(oldest);
    return token;
  }
}
