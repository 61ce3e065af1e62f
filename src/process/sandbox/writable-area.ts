import { resolve } from "node:path";
import type { SandboxPolicy } from "../../protocol/policy.ts";
import type { ProcessEnvironment } from "../clean-environment.ts";

/** Whether the policy leaves the whole disk writable. */
export const isOpen = (policy: SandboxPolicy): boolean =>
  policy.type === "danger-full-access" || policy.type === "external-sandbox";

/** Whose folders a policy speaks of. */
export type PolicyPlace = {
  readonly policy: SandboxPolicy;
  readonly cwd: string;
  readonly environment: ProcessEnvironment;
};

/** The folders that a closed policy lets commands write, as they are named. */
export function namedRoots({ policy, cwd, environment }: PolicyPlace): string[] {
  if (policy.type !== "workspace-write") return [];
  const paths = [resolve(cwd), ...policy.writable_roots.map((root) => resolve(cwd, root))];
  if (!policy.exclude_slash_tmp) paths.push("/tmp");
  if (!policy.exclude_tmpdir_env_var && environment.TMPDIR) paths.push(resolve(environment.TMPDIR));
  return [...new Set(paths)];
}

/** What may be written: whatever lies in a root and in no shield. Real paths; a root may not be there yet. */
export type WritableArea = { readonly roots: readonly string[]; readonly shields: readonly string[] };
