/** Runs commands under the real bubblewrap, as those of agents run. */
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { systemClock } from "../../src/kernel/clock.ts";
import { type ConfineOptions, confine, obstacleTo } from "../../src/process/sandbox/confine.ts";
import { HeldFolders } from "../../src/process/sandbox/held-folders.ts";
import type { SandboxProfile } from "../../src/process/sandbox/seccomp.ts";
import type { SandboxPolicy } from "../../src/protocol/policy.ts";
import { type CommandResult, runCommand } from "../../src/turn/tools/shell/command-run.ts";

const READ_ONLY: ConfineOptions = {
  ...{ policy: { type: "read-only" }, cwd: "/", environment: process.env, profile: "strict" },
  folders: new HeldFolders(),
};
const obstacle = await obstacleTo(READ_ONLY);
if (obstacle !== undefined && process.env.SKEIN_REQUIRE_BWRAP) throw new Error(obstacle);

/** Skips where there is no sandbox, unless SKEIN_REQUIRE_BWRAP says that there has to be one. */
export const inSandbox = { skip: obstacle ?? false };

/** A folder outside of everything that is writable by default, and gone when the test is over. */
export async function place(t: TestContext): Promise<string> {
  const base = process.geteuid?.() === 0 ? "/var/tmp" : tmpdir();
  const path = await realpath(await mkdtemp(join(base, "skein-sandbox-")));
  t.after(() => rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));
  return path;
}

export const workspace = (more: Partial<Extract<SandboxPolicy, { type: "workspace-write" }>> = {}): SandboxPolicy => ({
  ...{ type: "workspace-write", writable_roots: [], network_access: false },
  ...{ exclude_tmpdir_env_var: true, exclude_slash_tmp: true },
  ...more,
});

export type Box = {
  readonly cwd: string;
  readonly policy?: SandboxPolicy;
  readonly profile?: SandboxProfile;
  readonly folders?: HeldFolders;
  readonly workdir?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly environment?: NodeJS.ProcessEnv;
};

export const optionsOf = (box: Box): ConfineOptions => ({
  policy: box.policy ?? workspace(),
  cwd: box.cwd,
  environment: box.environment ?? process.env,
  profile: box.profile ?? "strict",
  folders: box.folders ?? new HeldFolders(),
});

/** @throws SandboxUnavailableError */
export async function runIn(box: Box, argv: readonly string[]): Promise<CommandResult> {
  const env = { PATH: process.env.PATH ?? "", HOME: "/root", ...box.env };
  const launch = await confine({ argv, workdir: box.workdir ?? box.cwd, env }, optionsOf(box));
  const signal = new AbortController().signal;
  return runCommand(launch, { clock: systemClock, timeoutMs: 60_000, signal, onOutput: () => undefined });
}

export const shIn = (box: Box, script: string): Promise<CommandResult> => runIn(box, ["/bin/bash", "-c", script]);
