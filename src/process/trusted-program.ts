/**
 * Finds the programs that run with more rights than a command has: the sandbox itself, git, the shell that hands over a
 * terminal. PATH is not asked, since a command can write where it points (`node_modules/.bin` under npx).
 *
 * - A program lies in a folder of the system, or is named by an absolute path that the user has set.
 * - Neither the file nor a folder above it can be changed by anybody but root and this user. In a sticky folder nobody
 *   else can replace what is ours, so that one may be writable.
 * - It lies in no folder that commands may write, unless it is shielded there.
 */
import { lstat, realpath } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { mayBeRun } from "./find-program.ts";
import { isWithin } from "./sandbox/paths.ts";
import type { WritableArea } from "./sandbox/writable-area.ts";

const SYSTEM_FOLDERS: readonly string[] = [
  "/usr/bin",
  "/bin",
  "/usr/local/bin",
  "/run/current-system/sw/bin",
  "/run/wrappers/bin",
];

const NOTHING: WritableArea = { roots: [], shields: [] };

const STICKY = 0o1000;
const WRITABLE_BY_OTHERS = 0o022;

export type TrustOptions = {
  /** An absolute path to use in place of the system's. */
  readonly explicit?: string | undefined;
  /** What commands may write. */
  readonly area?: WritableArea;
  /** Where it is looked for. Default {@link SYSTEM_FOLDERS}. */
  readonly folders?: readonly string[];
};

export type Found = { readonly path: string } | { readonly reason: string };

/** The program's real path, or why there is none that can be trusted, as the end of a sentence. */
export async function trustedProgram(name: string, options: TrustOptions = {}): Promise<Found> {
  const { explicit, area = NOTHING, folders = SYSTEM_FOLDERS } = options;
  if (explicit !== undefined && !isAbsolute(explicit)) return { reason: `${explicit} is not an absolute path` };
  const candidates = explicit === undefined ? folders.map((folder) => join(folder, name)) : [explicit];
  let distrusted: string | undefined;
  for (const candidate of candidates) {
    const path = await realpath(candidate).catch(() => undefined);
    if (path === undefined) continue;
    const reason = await distrust(path, area);
    if (reason === undefined) return { path };
    distrusted ??= `${candidate} cannot be trusted: ${reason}`;
  }
  return { reason: distrusted ?? `\`${name}\` is not installed (${candidates.join(", ")})` };
}

/** @param path real: no part of it is a link */
async function distrust(path: string, { roots, shields }: WritableArea): Promise<string | undefined> {
  const isShielded = (root: string) => shields.some((shield) => isWithin(root, shield) && isWithin(shield, path));
  const root = roots.find((each) => isWithin(each, path) && !isShielded(each));
  if (root !== undefined) return `commands may write in ${root}`;
  if (!(await mayBeRun(path)) || !(await lstat(path)).isFile()) return "it is no executable file";
  for (let place = path; ; place = dirname(place)) {
    const { uid, mode } = await lstat(place);
    if (uid !== 0 && uid !== process.geteuid?.()) return `${place} belongs to another user`;
    const mayBeShared = place !== path && (mode & STICKY) !== 0;
    if ((mode & WRITABLE_BY_OTHERS) !== 0 && !mayBeShared) return `others may write ${place}`;
    if (dirname(place) === place) return undefined;
  }
}
