import { spawn } from "node:child_process";
import { endedBy, numberOfSignal } from "./exit-code.ts";
import type { Launch } from "./launch.ts";
import { handlesFor } from "./leaked-handles.ts";

/** What a terminal sends to both of us is the program's to answer. */
const SHARED = ["SIGINT", "SIGQUIT"] as const;
const FORWARDED = ["SIGTERM", "SIGHUP"] as const;

/** Runs a program with this process's own input and output, and gives its exit code. @throws when it cannot be started */
export async function runInForeground({ argv, cwd, env, handles = [], release }: Launch): Promise<number> {
  const ignore = () => undefined;
  const [program = "", ...args] = argv;
  try {
    const child = spawn(program, args, { cwd, env, stdio: [0, 1, 2, ...handlesFor(handles)] });
    const forward = (signal: NodeJS.Signals) => child.kill(signal);
    for (const signal of SHARED) process.on(signal, ignore);
    for (const signal of FORWARDED) process.on(signal, forward);
    try {
      return await new Promise((resolve, reject) => {
        child.once("error", reject);
        child.once("exit", (code, signal) => resolve(code ?? endedBy(numberOfSignal(signal))));
      });
    } finally {
      for (const signal of SHARED) process.off(signal, ignore);
      for (const signal of FORWARDED) process.off(signal, forward);
    }
  } finally {
    release?.();
  }
}
