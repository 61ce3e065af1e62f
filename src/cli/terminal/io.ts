import { untilAborted } from "../../kernel/abort-listeners.ts";
import { askedToEnd } from "../asked-end.ts";

/** What the command line touches of its process. Only main.ts names the process itself. */
export type Io = {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: () => string;
};

/** Whether a view may move the cursor there. */
export const isTerminal = (stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): boolean =>
  stream.isTTY === true && env.TERM !== "dumb";

/** How many cells a line has; some terminals say 0 when they do not know. */
export const columnsOf = (stream: NodeJS.WriteStream): number => stream.columns || 80;

/** Resolves when everything written so far has left the process, or a signal asks for its end: a reader may never read on. */
export const drained = (stream: NodeJS.WriteStream): Promise<void> => {
  const written = new Promise<void>((resolve) => stream.write("", () => resolve()));
  return Promise.race([written, untilAborted(askedToEnd)]);
};
