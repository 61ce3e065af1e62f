/**
 * Writes under a closed policy: by a helper in the very sandbox that commands get, so that the kernel keeps roots, shields
 * and links, and no swap between check and write helps.
 */

import { type ConfineOptions, confine } from "../../../process/sandbox/confine.ts";
import type { CallContext } from "../call-context.ts";
import { runCommand } from "../shell/command-run.ts";
import { PatchError } from "./patch-grammar.ts";
import type { FileStep } from "./patch-plan.ts";

const DEADLINE_MS = 60_000;

/** Takes steps at its input; writes a line for each that is done, and one with a reason for the one that failed. */
const HELPER = `
const fs = require("node:fs"), { dirname } = require("node:path"), { O_WRONLY, O_CREAT, O_NONBLOCK } = fs.constants;
const say = (line) => fs.writeSync(1, line + "\\n");
try {
  for (const { path, after, mode } of JSON.parse(fs.readFileSync(0, "utf8"))) {
    if (after === null) fs.rmSync(path);
    else {
      fs.mkdirSync(dirname(path), { recursive: true });
      const file = fs.openSync(path, O_WRONLY | O_CREAT | O_NONBLOCK, 0o666);
      if (!fs.fstatSync(file).isFile()) throw new Error(path + " is not a regular file");
      fs.ftruncateSync(file);
      fs.writeFileSync(file, after);
      if (mode !== undefined) fs.fchmodSync(file, mode);
      fs.closeSync(file);
    }
    say("+");
  }
} catch (error) {
  say("-" + error.message.replaceAll("\\n", " "));
}
`;

/**
 * @param onDone called for each step that is done, in order, also when a later one fails
 * @throws PatchError where the disk or the sandbox refuses; SandboxUnavailableError; the signal's reason
 */
export async function writeConfined(
  { clock, signal }: CallContext,
  {
    steps,
    confinement,
    onDone,
  }: {
    readonly steps: readonly FileStep[];
    readonly confinement: ConfineOptions;
    readonly onDone: (step: FileStep) => void;
  },
): Promise<void> {
  // Under Electron the same program is a browser unless it is told otherwise.
  const env = { ELECTRON_RUN_AS_NODE: "1" };
  const launch = await confine({ argv: [process.execPath, "-e", HELPER], workdir: "/", env }, confinement);
  const input = JSON.stringify(steps.map(({ path, after, mode }) => ({ path, after, mode })));
  const onOutput = () => undefined;
  const result = await runCommand(launch, { clock, signal, input, timeoutMs: DEADLINE_MS, onOutput });
  const lines = result.stdout.split("\n").filter((line) => line !== "");
  const done = lines.filter((line) => line === "+").length;
  for (const step of steps.slice(0, done)) onDone(step);
  const failed = steps[done];
  if (failed === undefined) return;
  if (result.ending === "aborted") throw signal.reason;
  const reason = lines[done]?.startsWith("-") ? lines[done].slice(1) : `${result.ending}: ${result.stderr.trim()}`;
  throw new PatchError(`Failed to ${failed.after === null ? "delete" : "write"} file ${failed.path}: ${reason}`);
}
