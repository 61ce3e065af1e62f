/** What a client says of itself in `initialize`. */
export type ClientInfo = { readonly name: string; readonly title: string | null; readonly version: string };

/** One client of the server, as the embedder sees it. */
export interface Connection {
  /** What the client said of itself; undefined until it has initialized. */
  readonly client: ClientInfo | undefined;
  readonly isOpen: boolean;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
  /** Ends the line; what the client has asked for is aborted. */
  close(): void;
}
