/** What a sandboxed command sees, as facts; and what bubblewrap is told of it. Nothing here touches the system. */
import type { SandboxProfile } from "./seccomp.ts";

export type Mount =
  /** May be written. By handle, so that no swap of its name helps; by name where bubblewrap is too old for that. */
  | { readonly kind: "writable"; readonly path: string; readonly handle: number }
  /** What stands there can be read only. Where nothing does any more, the command does not start. */
  | { readonly kind: "readable"; readonly path: string }
  /** What stands there can be read, if anything does. */
  | { readonly kind: "offered"; readonly path: string }
  /** Nothing is there, and nothing can be made there. */
  | { readonly kind: "empty"; readonly path: string }
  /** An empty folder in memory, which the command may fill for itself. */
  | { readonly kind: "scratch"; readonly path: string }
  /** Another folder stands in for it. */
  | { readonly kind: "replaced"; readonly path: string; readonly by: string }
  /** A host's socket: read as an empty device, where it is still there. */
  | { readonly kind: "covered"; readonly path: string };

export type ConfinementPlan = {
  readonly profile: SandboxProfile;
  readonly network: "none" | "host";
  /** `outer`: the host's stays, read-only, where a container does not let its own be mounted. */
  readonly proc: "own" | "outer";
  readonly mounts: readonly Mount[];
  /** What the command finds in its environment; bubblewrap itself starts with none, since LD_PRELOAD would act on it. */
  readonly variables: Readonly<Record<string, string>>;
  readonly workdir: string;
};

/** Handles 0 to 2 are the command's; 3 is this list, 4 the filter. */
const FIRST_ROOT_HANDLE = 5;

/**
 * Bubblewrap's arguments, to be handed over by a handle; and the handles of this process that they speak of, which the
 * program is to get as 5 and so on. Bubblewrap closes each that an argument names, so none is left open in the command.
 *
 * @throws TypeError for a NUL byte: it would end an argument and begin another
 */
export function bubblewrapArguments(
  { network, proc, mounts, variables, workdir }: ConfinementPlan,
  { bindsHandles }: { readonly bindsHandles: boolean },
): { readonly args: string[]; readonly handles: number[] } {
  const handles: number[] = [];
  const numberOf = (handle: number) => FIRST_ROOT_HANDLE + handles.push(handle) - 1;
  const isWhole = ({ path }: Mount) => path === "/";
  const mounted = outerFirst(mounts.filter((mount) => !isWhole(mount))).flatMap((mount) =>
    mount.kind === "writable" && bindsHandles
      ? ["--bind-fd", String(numberOf(mount.handle)), mount.path]
      : mountedByName(mount),
  );
  const args = [
    ...["--clearenv", "--die-with-parent"],
    ...["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
    ...(network === "none" ? ["--unshare-net"] : []),
    ...["--cap-drop", "ALL"],
    // Nothing can be mounted over the root, whose name nobody can swap either.
    ...[mounts.some(isWhole) ? "--bind" : "--ro-bind", "/", "/"],
    ...["--dev", "/dev"],
    ...(proc === "own" ? ["--proc", "/proc"] : []),
    ...mounted,
    ...Object.entries(variables).flatMap(([name, value]) => ["--setenv", name, value]),
    ...["--chdir", workdir],
  ];
  if (args.some((arg) => arg.includes("\0"))) throw new TypeError("a path or variable must be without null bytes");
  return { args, handles };
}

/** A mount hides what was mounted below it, so the outer ones come first; a shield goes over a root of its own path. */
const outerFirst = (mounts: readonly Mount[]): Mount[] =>
  [...mounts].sort(
    (a, b) => a.path.length - b.path.length || Number(a.kind !== "writable") - Number(b.kind !== "writable"),
  );

function mountedByName(mount: Mount): string[] {
  const { path } = mount;
  switch (mount.kind) {
    case "writable":
      return ["--bind", path, path];
    case "readable":
      return ["--ro-bind", path, path];
    case "offered":
      return ["--ro-bind-try", path, path];
    case "empty":
      return ["--tmpfs", path, "--remount-ro", path];
    case "scratch":
      return ["--tmpfs", path];
    case "replaced":
      return ["--bind", mount.by, path];
    case "covered":
      return ["--ro-bind-try", "/dev/null", path];
  }
}
