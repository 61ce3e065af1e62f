/**
 * The profile for tmux and its like: Unix sockets can be made, and those of the host are hidden. Masks know the sockets that
 * are there when a command starts: one that is made later outside of /run and /tmp can be reached.
 */
import { lstat, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Mount } from "./confinement-plan.ts";
import type { HeldFolders } from "./held-folders.ts";
import { isWithin } from "./paths.ts";
import { namedRoots, type PolicyPlace } from "./writable-area.ts";

/** Folders of the host's sockets, which are hidden whole; and what ordinary commands need of them. */
const RUN = "/run";
const NEEDED_OF_RUN: readonly string[] = ["/run/systemd/resolve", "/run/current-system", "/run/wrappers"];
const TMP = "/tmp";

/** Variables that lead to servers of the user's. */
const VARIABLES = /^(?:SSH_AUTH_SOCK|DOCKER_HOST|DBUS_.*|DISPLAY|WAYLAND_DISPLAY|TMUX)$/;

export const withoutServers = (env: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !VARIABLES.test(name)));

/** The same policy without the host's /tmp, in whose place the thread has a folder of its own. */
export const withoutHostTmp = <T extends PolicyPlace>(place: T): T => {
  const { policy } = place;
  return policy.type === "workspace-write" ? { ...place, policy: { ...policy, exclude_slash_tmp: true } } : place;
};

/** @param roots what is bound: real paths */
export async function privateMounts(
  place: PolicyPlace & { readonly folders: HeldFolders },
  { roots, workdir }: { readonly roots: readonly string[]; readonly workdir: string },
): Promise<Mount[]> {
  const isHidden = (path: string) =>
    [RUN, TMP].some((folder) => isWithin(folder, path)) && !roots.some((root) => isWithin(root, path));
  const sockets = (await listeningSockets()).filter((path) => !isHidden(path));
  return [
    { kind: "scratch", path: RUN },
    ...NEEDED_OF_RUN.map((path): Mount => ({ kind: "offered", path })),
    hasTmp(place)
      ? { kind: "replaced", path: TMP, by: await place.folders.privateTmp() }
      : { kind: "scratch", path: TMP },
    ...(isHidden(workdir) ? [{ kind: "offered" as const, path: workdir }] : []),
    ...sockets.map((path): Mount => ({ kind: "covered", path })),
  ];
}

const hasTmp = (place: PolicyPlace): boolean => namedRoots(place).includes(TMP);

/** Where a file lies on the host that commands see under this path. */
export async function hostPathOf(
  path: string,
  place: PolicyPlace & { readonly folders: HeldFolders },
): Promise<string> {
  const isShared = !isWithin(TMP, path) || !hasTmp(place);
  if (isShared || namedRoots(withoutHostTmp(place)).some((root) => isWithin(root, resolve(path)))) return path;
  return join(await place.folders.privateTmp(), path.slice(TMP.length));
}

/** The last column of the kernel's table; a name that is no whole path cannot be found from here. */
async function listeningSockets(): Promise<string[]> {
  const table = await readFile("/proc/net/unix", "utf8").catch(() => "");
  const paths = table.split("\n").flatMap((line) => /^(?:\S+\s+){7}(?<path>\/.*)$/.exec(line)?.groups?.path ?? []);
  const found = await Promise.all(
    [...new Set(paths)].map(async (path) => {
      const stats = await lstat(path).catch(() => undefined);
      return stats?.isSocket() ? [path] : [];
    }),
  );
  return found.flat();
}
