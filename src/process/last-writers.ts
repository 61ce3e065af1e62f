/** Awaits what a command leaves behind where this process cannot: in a sandbox and in a terminal, which end with their leader. */
import { LINGER_MS } from "./process-group.ts";

const STEP_MS = 50;

/**
 * Runs `"$@"`, then waits while another process still holds this one's standard output or error, but not for long. The
 * command gets the streams, signals and variables that it would have had without; a signal that ends it is an exit code.
 * Where there is no /proc, nothing is awaited. Process 1 of a sandbox holds the streams until all others have ended.
 */
const SCRIPT = `
trap : HUP INT QUIT TERM
exec 3>&2 2>/dev/null
(exec "$@") 2>&3 3>&-
code=$?
exec 2>&3 3>&-
held() {
  for fd in /proc/[0-9]*/fd/*; do
    case $fd in /proc/1/*|/proc/$$/*) continue ;; esac
    if [ "$fd" -ef /proc/$$/fd/1 ] || [ "$fd" -ef /proc/$$/fd/2 ]; then return 0; fi
  done
  return 1
}
left=${LINGER_MS / STEP_MS}
while [ $left -gt 0 ] && held; do
  sleep ${STEP_MS / 1_000}
  left=$((left - 1))
done
exit $code
`;

/** The command line that runs `argv` and ends when nobody writes for it any more. */
export const untilLastWriter = (argv: readonly string[]): string[] => ["/bin/sh", "-c", SCRIPT, "sh", ...argv];
