/** How much may wait for a client that reads slowly, before deltas are joined and requests refused. */
export type OutboxLimits = {
  /** Characters of deltas that may wait. Default 256 Ki. */
  readonly deltaBytes: number;
  /** Characters of everything else that may wait before requests are refused. Default 8 Mi. */
  readonly maxBytes: number;
};

/** What one client may have in flight before it is answered -32001 (overloaded). */
export type ConnectionLimits = OutboxLimits & {
  /** Requests that may be worked on at the same time. Default 1,024. */
  readonly inFlight: number;
};
