import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "../..");
let folder: string;
let blocks: string[];

// Inside the package, so that `import "skein"` finds it by its own name, as it was built.
before(async () => {
  folder = await mkdtemp(join(root, "test/house/readme-"));
  const readme = await readFile(join(root, "README.md"), "utf8");
  blocks = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1] ?? "");
});
after(() => rm(folder, { recursive: true, force: true }));

async function run(name: string, source: string): Promise<string[]> {
  const file = join(folder, name);
  await writeFile(file, source);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--no-warnings", file], { timeout: 60_000 });
  assert.equal(stderr, "");
  return stdout.trim().split("\n");
}

/** Lines that the README itself says are printed: `console.log(...); // TEXT`. */
const promised = (source: string): string[] =>
  [...source.matchAll(/console\.log\(.*\);? \/\/ (.+)$/gm)].map(([, text = ""]) => text);

test("the first block runs alone, and shows seq 0", async () => {
  const [first = ""] = blocks;
  const lines = await run("first.mjs", `${first}\nawait manager.shutdown();`);
  assert.equal(lines[0], "0 session_configured");
  assert.deepEqual(lines.filter((line) => /^\d/.test(line) && line !== "2 + 3 is 5.").length > 5, true);
  assert.ok(lines.includes("Still 5."));
});

test("the blocks run pasted one after another, and print what they say", async () => {
  assert.equal(blocks.length, 6);
  const source = blocks.join("\n");
  const lines = await run("all.mjs", source);
  const expected = promised(source).filter((text) => !text.includes("..."));
  assert.deepEqual(expected, ["2 + 3 is 5.", "Still 5.", "true", "got 1 item", "Made it."]);
  for (const text of expected) assert.ok(lines.includes(text), `${text} in:\n${lines.join("\n")}`);
  assert.ok(lines.includes("asked: node --version > made.txt"));
  assert.match(lines.join(" "), /completed: \[.*failed: \[\],\s+timedOut: \[\]/s);
});
