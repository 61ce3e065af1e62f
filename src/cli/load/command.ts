import { Command, InvalidArgumentError } from "commander";
import { optionsOf } from "../global-options.ts";
import { wholeNumber } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import type { LoadOptions } from "./load.ts";

const EXAMPLES = `
Starts the threads, then lets turns, forks and removals come at fixed times, however long those before them take. Each is timed
from the time at which it was to begin: what waits because others are slow is as late as its user would find it.

Turns are spread evenly: over --seconds, or at --rate a second until all have come or the time is up. A turn runs in the thread
that has been idle for longest. What is open at the end has 10 s. Ctrl-C ends the run and prints what was done so far.

embedded runs a manager in this process, on a temporary folder, with a scripted model or that of a Responses API at a URL.
A server chooses its own model. Threads are removed by archiving them there. Servers elsewhere than on this machine are only
asked with --allow-remote: a load is an attack on whoever did not ask for it.

Examples:
  skein load --threads 100 --turns 10 --seconds 10
  skein load --threads 50 --turns 100 --rate 200 --fork-rate 5 --json
  skein load --target ws://127.0.0.1:4500 --threads 20 --turns 5 --seconds 5`;

/** Reads a number of things a second. */
function perSecond(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value >= 0 && value <= 1_000_000) return value;
  throw new InvalidArgumentError("It must be a number from 0 to 1000000.");
}

export const loadCommand = (io: Io): Command =>
  new Command("load")
    .description("put a load on threads here or on an app-server, and time it")
    .option("--threads <n>", "how many threads to start with", wholeNumber({ min: 1, max: 1_000_000 }), 10)
    .option("--turns <n>", "turns of each thread, on average", wholeNumber({ min: 0, max: 1_000_000 }), 10)
    .option("--fork-rate <n>", "forks a second", perSecond, 0)
    .option("--remove-rate <n>", "removals a second", perSecond, 0)
    .option("--seconds <n>", "how long the load lasts", wholeNumber({ min: 1, max: 86_400 }), 10)
    .option("--rate <n>", "turns a second (default: all turns spread over the time)", perSecond)
    .option("--model <scripted|url>", "who answers, with --target embedded", "scripted")
    .option("--target <embedded|ws-url>", "what to load", "embedded")
    .option("--allow-remote", "let the target or the model be on another machine")
    .option("--json", "print the result as one JSON object")
    .addHelpText("after", EXAMPLES)
    .action(async (_, command: Command) => {
      const { load } = await import("./load.ts");
      await load(optionsOf<LoadOptions>(command), io);
    });
