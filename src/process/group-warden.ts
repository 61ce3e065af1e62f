/**
 * Ends the groups that outlive this process. SIGKILL leaves it no word of its own, so a shell in a session of its own hears of each
 * group that begins and ends, and kills those that are left when its input closes, for whatever reason it does.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";

/** `+ID` and `-ID`, one a line. */
const SCRIPT = `g=' '
while read -r l; do
  p="\${l#?}"
  case "$l" in
    +*) g="$g$p " ;;
    *) case "$g" in *" $p "*) g="\${g%% $p *} \${g#* $p }" ;; esac ;;
  esac
done
for p in $g; do kill -s KILL -- "-$p"; done`;

let warden: ChildProcess | undefined;

/** One at a time, which does not keep this process alive. Where it cannot be started, the groups go without. */
function started(): ChildProcess {
  const stdio = ["pipe", "ignore", "ignore"] as const;
  const child = spawn("/bin/sh", ["-c", SCRIPT], { cwd: "/", env: {}, detached: true, stdio: [...stdio] });
  child.on("error", () => undefined);
  child.once("exit", () => {
    if (warden === child) warden = undefined;
  });
  child.stdin?.on("error", () => undefined);
  if (child.stdin instanceof Socket) child.stdin.unref();
  child.unref();
  return child;
}

export function watchGroup(leader: number): void {
  warden ??= started();
  warden.stdin?.write(`+${leader}\n`);
}

export function unwatchGroup(leader: number): void {
  warden?.stdin?.write(`-${leader}\n`);
}
