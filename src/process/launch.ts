/** A program that is ready to be started. */
export type Launch = {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Handles of this process that the program gets as its 3, 4, 5 and so on. */
  readonly handles?: readonly number[];
  /** Lets go of what the launch holds. Called once: when the program has ended, or will not be started. */
  readonly release?: () => void;
};
