import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { commandEnvironment } from "../../process/clean-environment.ts";
import { runInForeground } from "../../process/foreground.ts";
import { confine } from "../../process/sandbox/confine.ts";
import { HeldFolders } from "../../process/sandbox/held-folders.ts";
import type { SandboxPolicy } from "../../protocol/policy.ts";
import { EXIT, Exit, UsageError } from "../failure.ts";
import type { Io } from "../terminal/io.ts";

export type SandboxOptions = {
  readonly mode: "read-only" | "workspace-write";
  readonly profile: "strict" | "private";
  readonly network?: boolean;
  readonly cwd?: string;
  readonly root?: readonly string[];
};

/** Ends with the command's exit status. @throws Exit; SandboxUnavailableError; UsageError */
export async function runSandboxed(argv: readonly string[], options: SandboxOptions, io: Io): Promise<void> {
  const cwd = resolve(io.cwd(), options.cwd ?? ".");
  const found = await stat(cwd).catch(() => undefined);
  if (found?.isDirectory() !== true) throw new UsageError(`--cwd: not a folder: ${cwd}`);
  const folders = new HeldFolders();
  try {
    const launch = await confine(
      { argv, workdir: cwd, env: commandEnvironment(io.env) },
      { policy: policyOf(options), cwd, environment: io.env, profile: options.profile, folders },
    );
    const exitCode = await runInForeground(launch);
    if (exitCode !== EXIT.ok) throw new Exit(exitCode);
  } finally {
    await folders.dispose();
  }
}

function policyOf({ mode, network = false, root = [] }: SandboxOptions): SandboxPolicy {
  if (mode === "workspace-write") {
    return {
      ...{ type: mode, writable_roots: [...root], network_access: network },
      ...{ exclude_tmpdir_env_var: false, exclude_slash_tmp: false },
    };
  }
  if (network || root.length > 0) throw new UsageError("--network and --root need --mode workspace-write");
  return { type: mode };
}
