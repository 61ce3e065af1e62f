/** A terminal as watchers of the thread see it. */
export type TerminalView = {
  readonly callId: string;
  readonly processId: string;
  /** The script, as the model wrote it. */
  readonly command: string;
  readonly cwd: string;
};

/** What a thread's holder may do with its terminals. */
export interface BackgroundTerminals {
  /** The commands that go on. */
  list(): TerminalView[];
  /** Ends one, with all that it started; its end is told as an event. False when no such command runs. */
  terminate(processId: string): boolean;
  /** Ends all; resolves when they have ended. */
  clean(): Promise<void>;
}
