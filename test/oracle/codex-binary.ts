import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

const CACHE = new URL("../../.cache/", import.meta.url).pathname;

/** Codex of a version from npm, in the cache folder. undefined, having said why: it cannot be installed here. */
export function codexBinary(version: string): string | undefined {
  const folder = join(CACHE, `codex-${version}`);
  const found = findBinary(folder);
  if (found !== undefined) return found;
  mkdirSync(folder, { recursive: true });
  const install = ["install", "--no-audit", "--no-fund", "--prefix", folder, `@openai/codex@${version}`];
  const { status, stderr } = spawnSync("npm", install, { encoding: "utf8" });
  if (status !== 0) process.stdout.write(`skipped: npm cannot install @openai/codex@${version}: ${stderr}\n`);
  return findBinary(folder);
}

function findBinary(folder: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  const machine = process.arch === "x64" ? "x86_64" : "aarch64";
  const triple = `${machine}-${process.platform === "darwin" ? "apple-darwin" : "unknown-linux-musl"}`;
  const path = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.includes(triple) && /\/codex$/.test(name))
    .find((name) => /vendor\/[^/]+\/(bin|codex)\/codex$/.test(name));
  return path === undefined ? undefined : join(folder, path);
}
