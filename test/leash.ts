/**
 * Flags for Node in a test or a bench: with them a child whose standard input is a pipe of ours ends when this process does, also when that is
 * killed. A product's own program, such as `skein worker`, does not depend on its standard input.
 */
export const LEASH = ["--import", new URL("./ends-with-parent.ts", import.meta.url).href] as const;
