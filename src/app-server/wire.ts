import type { Access } from "./studio/wire.ts";

/** One client's line to the server, whatever carries it. A transport makes it, a connection uses it. */
export interface Wire {
  /** What its client may do; everything, unless the transport knows better. See {@link Access}. */
  readonly access?: Access | undefined;
  /** Hands one message over. false: the peer reads slowly, and nothing more should come before `onDrain`. */
  send(text: string): boolean;
  /** Stops and resumes reading; what the peer sends meanwhile waits at its side. */
  pause(): void;
  resume(): void;
  /** Ends the line, after what was handed over has gone out. */
  close(): void;
  /** Told when the client has initialized. Until then it is a stranger, and may be given less. */
  admitted?(): void;
  /** Set once, by the connection. */
  listener: WireListener | undefined;
}

/** The server's side of a line: what the transport tells it. */
export interface WireListener {
  onText(text: string): void;
  onDrain(): void;
  /** The peer sends nothing more, but still reads: what is being worked on is answered. */
  onEnded(): void;
  /** The line is gone. Comes once. */
  onClosed(): void;
}

/** The other end of an in-process line. */
export interface ClientEnd {
  send(text: string): void;
  close(): void;
  onText: ((text: string) => void) | undefined;
  onClosed: (() => void) | undefined;
}

/**
 * A line within the process, for tests and embedders.
 *
 * @param options.isSlow asked for each message: while true, the server's end reports a slow reader until `drain` is called
 */
export function linkedWires(options: { isSlow?: () => boolean } = {}): {
  server: Wire;
  client: ClientEnd;
  drain: () => void;
} {
  let isOpen = true;
  const waiting: string[] = [];
  let isPaused = false;
  const end = () => {
    if (!isOpen) return;
    isOpen = false;
    server.listener?.onClosed();
    client.onClosed?.();
  };
  const server: Wire = {
    listener: undefined,
    send(text) {
      if (isOpen) client.onText?.(text);
      return !(options.isSlow?.() ?? false);
    },
    pause() {
      isPaused = true;
    },
    resume() {
      isPaused = false;
      while (!isPaused && waiting.length > 0) server.listener?.onText(waiting.shift() ?? "");
    },
    close: end,
  };
  const client: ClientEnd = {
    onText: undefined,
    onClosed: undefined,
    send(text) {
      if (!isOpen) return;
      if (isPaused) waiting.push(text);
      else server.listener?.onText(text);
    },
    close: end,
  };
  return { server, client, drain: () => server.listener?.onDrain() };
}
