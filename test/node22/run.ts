/**
 * Proves that what ships runs on the oldest Node that it asks for: installs that Node into a cache folder, and runs the
 * built command and the README's first example on it. Not part of `npm test`, since a runtime is 190 MB.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const VERSION = "22.13.0";
const root = join(import.meta.dirname, "../..");
const cache = join(root, ".cache/node22");
const node = join(cache, "node_modules/node/bin/node");

function run(command: string, args: readonly string[], cwd = root): string {
  return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], timeout: 300_000 });
}

if (!existsSync(node)) {
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, "package.json"), JSON.stringify({ private: true, allowScripts: { node: true } }));
  run("npm", ["install", "--no-save", `node@${VERSION}`], cache);
}
if (run(node, ["--version"]).trim() !== `v${VERSION}`) throw new Error(`the cache holds another Node than ${VERSION}`);
run("npm", ["run", "build"]);

const demo = JSON.parse(
  run(node, ["dist/src/cli/main.js", "demo", "--json"]).trim().split("\n").at(-1) ?? "{}",
) as object;
process.stdout.write(`demo: ${Object.keys(demo).join(", ")}\n`);

const [, example] = /^```js\n(.*?)^```$/ms.exec(readFileSync(join(root, "README.md"), "utf8")) ?? [];
const folder = mkdtempSync(join(root, "test/node22/example-"));
try {
  writeFileSync(join(folder, "example.mjs"), example ?? "throw new Error('README has no example')");
  if (!run(node, [join(folder, "example.mjs")]).includes("2 + 3 is 5."))
    throw new Error("the example gave another answer");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`all well on Node ${VERSION}\n`);
