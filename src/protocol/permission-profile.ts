/** Codex's built-in permission profiles: sandbox policies by name. */
import { InvalidRequestError } from "./errors.ts";
import { type SandboxPolicy, sandboxPolicyOfMode } from "./policy.ts";

/** The names of the built-in permission profiles. */
export const PERMISSION_PROFILES = [":read-only", ":workspace", ":danger-full-access"] as const;
/** Codex's built-in permission profiles, each of which stands for a sandbox policy. */
export type PermissionProfile = (typeof PERMISSION_PROFILES)[number];

export function policyOfProfile(profile: PermissionProfile): SandboxPolicy {
  switch (profile) {
    case ":read-only":
      return sandboxPolicyOfMode("read-only");
    case ":workspace":
      return sandboxPolicyOfMode("workspace-write");
    case ":danger-full-access":
      return sandboxPolicyOfMode("danger-full-access");
  }
}

/**
 * The profile of a name.
 * @param own the names of the profiles that the user has defined; these cannot be used
 * @throws InvalidRequestError in Codex's words
 */
export function profileNamed(name: string, own: readonly string[]): PermissionProfile {
  const profile = PERMISSION_PROFILES.find((each) => each === name);
  if (profile !== undefined) return profile;
  if (name.startsWith(":")) {
    throw new InvalidRequestError(`default_permissions refers to unknown built-in profile \`${name}\``);
  }
  if (own.length === 0) throw new InvalidRequestError("default_permissions requires a `[permissions]` table");
  if (!own.includes(name)) {
    throw new InvalidRequestError(`default_permissions refers to undefined profile \`${name}\``);
  }
  throw new InvalidRequestError(
    `default_permissions refers to \`${name}\`, which is not built in: use ${PERMISSION_PROFILES.join(", ")}`,
  );
}
