import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../kernel/clock.ts";
import type { SkeinLogger } from "../../kernel/log.ts";
import type { Access } from "../studio/wire.ts";
import type { Wire } from "../wire.ts";
import type { AdmissionLimits } from "./admission.ts";

/** Who may connect over a WebSocket: holders of the token. One of the two at most. */
export type ListenAuth = {
  /** A file that holds the token; blanks around it do not count. */
  readonly tokenFile?: string | undefined;
  /** The token's SHA-256 in hexadecimal. */
  readonly tokenSha256?: string | undefined;
  /** A page that the listener serves to browsers, whose lines alone it then takes. On loopback; without a token of the two. */
  readonly page?: PageDoor | undefined;
};

/** A status line and what to do, for a request that is not served. */
export type Refusal = { readonly status: "401 Unauthorized" | "403 Forbidden"; readonly why: string };

/** What a listener serves to browsers, and whom of them it lets in. */
export interface PageDoor {
  /** The subprotocol that its lines speak. */
  readonly protocol: string;
  /** Answers a request that is none for a WebSocket. */
  serve(request: IncomingMessage, response: ServerResponse): void;
  admit(request: IncomingMessage): { readonly access: Access } | Refusal;
}

export type ListenOptions = {
  readonly auth: ListenAuth;
  readonly logger: SkeinLogger;
  readonly clock: Clock;
  /** Of connections over sockets. */
  readonly limits?: Partial<AdmissionLimits> | undefined;
  /** Takes on a client. */
  readonly accept: (wire: Wire) => void;
};

/** Where clients come in. */
export interface Listener {
  /** As a client would write it; with the port that was taken when 0 was asked for. */
  readonly url: string;
  /** Takes no further clients, and ends the lines of those that are there. */
  close(): Promise<void>;
}

/** The longest message that is read. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
