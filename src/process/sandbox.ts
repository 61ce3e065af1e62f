/**
 * What a sandbox policy means here. Commands under `read-only` and `workspace-write` run in bubblewrap: the whole disk
 * can be read, only the policy's folders can be written, no process outlives the command, and there is no network
 * unless the policy grants it.
 */
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import type { SandboxPolicy } from "../protocol/policy.ts";
import type { ProcessEnvironment } from "./clean-environment.ts";
import { untilLastWriter } from "./last-writers.ts";

/** Folders in a writable root that stay read-only: what is in them runs later, outside of the sandbox. */
const PROTECTED = [".git", ".codex", ".skein"];

/** What may be written: whatever lies in a root and in no shield. */
export type WritableArea = { readonly roots: readonly string[]; readonly shields: readonly string[] };

/** Whether the policy leaves the disk to whoever runs here. */
export const isOpen = (policy: SandboxPolicy): boolean =>
  policy.type === "danger-full-access" || policy.type === "external-sandbox";

/** What may be written under a closed policy. A root that is named itself is never shielded by the folder around it. */
export function writableArea(policy: SandboxPolicy, cwd: string, environment: ProcessEnvironment): WritableArea {
  if (policy.type !== "workspace-write") return { roots: [], shields: [] };
  const paths = [cwd, ...policy.writable_roots.map((root) => resolve(cwd, root))];
  if (!policy.exclude_slash_tmp) paths.push("/tmp");
  if (!policy.exclude_tmpdir_env_var && environment.TMPDIR) paths.push(resolve(environment.TMPDIR));
  const roots = [...new Set(paths)];
  const shields = roots.flatMap((root) => PROTECTED.map((name) => join(root, name)));
  return { roots, shields: shields.filter((shield) => !roots.includes(shield)) };
}

/** The command line that runs `argv` under a closed policy; undefined when there is no sandbox to run it in. */
export async function sandboxed(
  argv: readonly string[],
  {
    policy,
    cwd,
    workdir,
    environment,
  }: { policy: SandboxPolicy; cwd: string; workdir: string; environment: ProcessEnvironment },
): Promise<readonly string[] | undefined> {
  const program = await findProgram("bwrap", environment.PATH ?? "");
  if (program === undefined) return undefined;
  const hasNetwork = policy.type === "workspace-write" && policy.network_access;
  const { roots, shields } = writableArea(policy, cwd, environment);
  // A shield may lie in several roots, so all of them come last.
  const binds = [
    ...roots.flatMap((path) => ["--bind-try", path, path]),
    ...shields.flatMap((path) => ["--ro-bind-try", path, path]),
  ];
  return [
    program,
    "--die-with-parent",
    ...["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"],
    ...(hasNetwork ? [] : ["--unshare-net"]),
    ...["--ro-bind", "/", "/"],
    ...["--dev", "/dev"],
    ...["--proc", "/proc"],
    ...binds,
    ...["--chdir", workdir],
    "--",
    ...untilLastWriter(argv),
  ];
}

/** The file of a program; undefined when no folder of the path has it. */
export async function findProgram(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    if (folder === "") continue;
    const file = join(folder, name);
    const found = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return file;
  }
  return undefined;
}

const DENIALS = [
  "operation not permitted",
  "permission denied",
  "read-only file system",
  "bwrap:",
  "network is unreachable",
  "could not resolve host",
];

/** Whether a failed command looks as if the sandbox had kept it from its work. */
export function looksDenied({ exitCode, aggregated }: { exitCode: number; aggregated: string }): boolean {
  if (exitCode === 0 || exitCode === 2 || exitCode === 126 || exitCode === 127) return false;
  const text = aggregated.toLowerCase();
  return DENIALS.some((denial) => text.includes(denial));
}
