/**
 * A launch in the form that a pseudo-terminal's library can start. It hands on no handles, so a shell opens them anew, by
 * their places in this process, and closes what was not meant.
 */
import { SandboxUnavailableError } from "../protocol/errors.ts";
import type { Launch } from "./launch.ts";
import { trustedProgram } from "./trusted-program.ts";

/**
 * Closes what this process has open and the terminal's library hands on, among it the other ends of other terminals, as it
 * is when the shell starts. `sh` knows handles of one digit only, and refuses where there are others.
 */
const CLOSE = `
for path in /proc/$$/fd/*; do
  fd=\${path##*/}
  case $fd in
    0|1|2) ;;
    ?) eval "exec $fd<&-" ;;
    *) if [ -n "$BASH_VERSION" ]; then [ "$fd" = 255 ] || eval "exec $fd<&-"; elif [ -e "$path" ]; then exit 126; fi ;;
  esac
done
`;

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
  const shell = await shellFor(handles.length + 2);
  const opened = handles.map((fd, index) => `${index + 3}</proc/${process.pid}/fd/${fd}`);
  return { ...launch, argv: [shell, "-c", `${CLOSE}exec "$@" ${opened.join(" ")}`, "sh", ...launch.argv] };
}

async function shellFor(most: number): Promise<string> {
  const bash = await trustedProgram("bash");
  if ("path" in bash) return bash.path;
  const sh = await trustedProgram("sh");
  if ("path" in sh && most <= MOST_OF_SH) return sh.path;
  const why = "path" in sh ? `\`sh\` cannot hand over ${most - 2} handles, and bash is not installed` : sh.reason;
  throw new SandboxUnavailableError(`no terminal can be confined here: ${why}; leave out \`tty\``);
}
