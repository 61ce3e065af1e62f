/** Packages of peers: fetched into .cache/peers, and no dependencies of the project. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { runBounded } from "../bounded-run.ts";

export const CACHE = join(import.meta.dirname, "../../.cache");

/** One of them builds a native library. */
const FETCH_SECONDS = 900;

/** Once for each folder. @param overrides versions of what the packages depend on @throws Error when they cannot be had */
export async function fetchPackages(
  folder: string,
  packages: readonly string[],
  overrides: Readonly<Record<string, string>> = {},
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  if (packages.length === 0 || existsSync(join(folder, ".fetched"))) return;
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module", overrides }));
  const args = ["install", "--no-audit", "--no-fund", "--prefer-offline", ...packages];
  // npm may outlive a signal while it builds: its whole group ends.
  const { failure } = await runBounded({
    command: ["npm", ...args],
    cwd: folder,
    seconds: FETCH_SECONDS,
    // Native libraries are built for the Node that runs npm: the peers' own comes first.
    env: { PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) },
  });
  if (failure !== undefined) throw new Error(failure);
  writeFileSync(join(folder, ".fetched"), "");
}

export function versionOf(folder: string, name: string | undefined): string {
  const path = join(folder, "node_modules", name ?? "", "package.json");
  if (name === undefined || !existsSync(path)) return "";
  const { version } = JSON.parse(readFileSync(path, "utf8")) as { version?: string };
  return version ?? "";
}
