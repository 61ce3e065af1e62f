/**
 * A launch in the form that a pseudo-terminal's library can start. It hands on no handles, so a shell opens them anew, by
 * their places in this process, and closes what was not meant.
 */
import { SandboxUnavailableError } from "../protocol/errors.ts";
import type { Launch } from "./launch.ts";
import { leakedHandles } from "./leaked-handles.ts";
import { trustedProgram } from "./trusted-program.ts";

/** Beyond this number only bash knows handles by a single digit and more. */
const MOST_OF_SH = 9;

/** @throws SandboxUnavailableError where no shell can be trusted to hand over the handles; the launch is then let go of */
export async function terminalLaunch(launch: Launch): Promise<Launch> {
  if (launch.handles === undefined) return launch;
  try {
    return await withHandles(launch, launch.handles);
  } catch (error) {
    launch.release?.();
    throw error;
  }
}

async function withHandles(launch: Launch, handles: readonly number[]): Promise<Launch> {
  const leaked = leakedHandles().filter((number) => number >= handles.length + 3);
  const most = Math.max(handles.length + 2, ...leaked);
  const shell = await shellFor(most);
  const opened = handles.map((fd, index) => `${index + 3}</proc/${process.pid}/fd/${fd}`);
  const closed = leaked.map((number) => `${number}<&-`);
  const script = `exec "$@" ${[...opened, ...closed].join(" ")}`;
  return { ...launch, argv: [shell, "-c", script, "sh", ...launch.argv] };
}

async function shellFor(most: number): Promise<string> {
  const bash = await trustedProgram("bash");
  if ("path" in bash) return bash.path;
  const sh = await trustedProgram("sh");
  if ("path" in sh && most <= MOST_OF_SH) return sh.path;
  const why = "path" in sh ? `\`sh\` cannot hand over ${most - 2} handles, and bash is not installed` : sh.reason;
  throw new SandboxUnavailableError(`no terminal can be confined here: ${why}; leave out \`tty\``);
}
