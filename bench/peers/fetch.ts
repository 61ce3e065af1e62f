/** Packages of peers: fetched into .cache/peers, and no dependencies of the project. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runBounded } from "../bounded-run.ts";

export const CACHE = join(import.meta.dirname, "../../.cache");

/** One of them builds a native library. */
const FETCH_SECONDS = 300;

/** Once for each folder. @throws Error when they cannot be had */
export async function fetchPackages(folder: string, packages: readonly string[]): Promise<void> {
  mkdirSync(folder, { recursive: true });
  if (packages.length === 0 || existsSync(join(folder, ".fetched"))) return;
  writeFileSync(join(folder, "package.json"), '{"private":true,"type":"module"}\n');
  const args = ["install", "--no-audit", "--no-fund", "--prefer-offline", ...packages];
  // npm may outlive a signal while it builds: its whole group ends.
  const { failure } = await runBounded({ command: ["npm", ...args], cwd: folder, seconds: FETCH_SECONDS });
  if (failure !== undefined) throw new Error(failure);
  writeFileSync(join(folder, ".fetched"), "");
}

export function versionOf(folder: string, name: string | undefined): string {
  const path = join(folder, "node_modules", name ?? "", "package.json");
  if (name === undefined || !existsSync(path)) return "";
  const { version } = JSON.parse(readFileSync(path, "utf8")) as { version?: string };
  return version ?? "";
}
