import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const CACHE = new URL("../../.cache/clients/", import.meta.url).pathname;
const OPTIONS = ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"];

/** The `node_modules` of a folder of its own, with this package (`name@version`) from npm. undefined, having said why: it cannot be installed here. */
export function installedClient(wanted: string): string | undefined {
  const name = wanted.slice(0, wanted.lastIndexOf("@"));
  const folder = join(CACHE, wanted.replace("/", "+"));
  const modules = join(folder, "node_modules");
  if (existsSync(join(modules, name, "package.json"))) return modules;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{"private":true}\n');
  const { status, stderr } = spawnSync("npm", ["install", ...OPTIONS, wanted], {
    cwd: folder,
    encoding: "utf8",
    timeout: 180_000,
  });
  if (status === 0) return modules;
  process.stdout.write(`skipped: npm cannot install ${wanted}: ${stderr}\n`);
  return undefined;
}
