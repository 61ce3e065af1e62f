import type { Command } from "commander";
import type { Io } from "./io.ts";

/** Makes one command of the program. What the command works with is imported when it runs, so that help is quick. */
export type CommandMaker = (io: Io) => Command;
