/** Random patches against a process that exchanges folders with links: no write outside, and every file is whole. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { call } from "../../../src/model/script.ts";
import { inSandbox, place, workspace } from "../../process/sandboxed.ts";
import { bench } from "./tool-turn.ts";

const PATCHES = Number(process.env.SKEIN_RACE_PATCHES ?? 16);
const SEED = Number(process.env.SKEIN_RACE_SEED ?? 9);

const FOLDERS = ["still", "d", "d/e", "d/e/g"];
const NAMES = ["f0", "f1", "f2"];

const numbered = (length: number): string[] => Array.from({ length }, (_, index) => `${index + 1} of ${length}`);
const linesOf = (length: number): string[] => ["head", ...numbered(length), "tail"];

/** What any patches make of such a file: marks may have come after the head, and nothing is missing. */
function isWhole(content: string): boolean {
  const lines = content.split("\n").filter((line) => !/^mark \d+$/.test(line));
  return lines.join("\n") === `${linesOf(lines.length - 3).join("\n")}\n`;
}

const pathIn = (folders: fc.Arbitrary<string>) =>
  fc.tuple(folders, fc.constantFrom(...NAMES)).map((parts) => parts.join("/"));
const existing = pathIn(fc.constantFrom(...FOLDERS));
const anywhere = pathIn(fc.constantFrom(...FOLDERS, "d/new", "d/e/new/er"));
const added = fc
  .tuple(anywhere, fc.integer({ min: 1, max: 2_000 }))
  .map(([to, length]) => [`*** Add File: ${to}`, ...linesOf(length).map((line) => `+${line}`)]);
const updated = fc
  .tuple(existing, fc.option(anywhere), fc.nat(9))
  .map(([at, to, mark]) => [
    ...[`*** Update File: ${at}`, ...(to === null ? [] : [`*** Move to: ${to}`])],
    ...["@@", " head", `+mark ${mark}`],
  ]);
const deleted = existing.map((at) => [`*** Delete File: ${at}`]);
const change = fc.oneof({ weight: 3, arbitrary: added }, { weight: 3, arbitrary: updated }, deleted);
const patches = fc.array(change, { minLength: 1, maxLength: 4 }).map((changes) => changes.flat());

/** Exchanges folders with links for a moment, at any depth. The links lead outside, and to what is protected. */
const SWAPPER = `
import ctypes, random, time
libc = ctypes.CDLL(None)
pairs = [(b"d", b"l0"), (b"d/e", b"l1"), (b"d/e/g", b"l2")]
random.seed(${SEED})
swaps = 0
while True:
    chosen = random.sample(pairs, random.randint(1, 3))
    for order, pauses in ((chosen, [0, 0.0001, 0.004]), (chosen[::-1], [0, 0.001, 0.01])):
        for old, new in order: swaps += libc.renameat2(-100, old, -100, new, 2) == 0
        if swaps > 100: open("swapped", "w").close()
        time.sleep(random.choice(pauses))
`;

async function fill(root: string): Promise<void> {
  for (const each of FOLDERS) {
    await mkdir(join(root, each), { recursive: true });
    for (const name of NAMES) await writeFile(join(root, each, name), `${linesOf(20).join("\n")}\n`);
  }
}

/** Every file below a folder with its content; links are not followed. */
function contentsOf(root: string): Map<string, string> {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    files.map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name), "utf8")]),
  );
}

const hasPython = spawnSync("python3", ["-c", ""]).status === 0;

test("whatever patches say while folders are exchanged with links, files are whole and none is outside", {
  skip: inSandbox.skip || (hasPython ? false : "python3 is not installed"),
}, async (t) => {
  const cwd = await place(t);
  const outside = await place(t);
  for (const root of [cwd, outside, join(cwd, ".git")]) await fill(root);
  for (const [index, target] of [join(outside, "d"), join(outside, "d/e"), join(cwd, ".git/d")].entries()) {
    await symlink(target, join(cwd, `l${index}`));
  }
  const untouchable = () => [contentsOf(outside), contentsOf(join(cwd, ".git"))];
  const before = untouchable();
  const plays = [
    [call("exec_command", { cmd: `exec python3 -c '${SWAPPER}'`, login: false, yield_time_ms: 2_000 })],
    ...fc
      .sample(patches, { numRuns: PATCHES, seed: SEED })
      .map((lines) => [call("apply_patch", { input: ["*** Begin Patch", ...lines, "*** End Patch"].join("\n") })]),
    [call("apply_patch", { input: "*** Begin Patch\n*** Add File: still/last\n+head\n+tail\n*** End Patch" })],
    "done",
  ];
  const config = { cwd, sandboxPolicy: workspace(), builtInTools: ["unified_exec", "apply_patch"] as const };
  const { manager, thread, outputs } = await bench(t, plays, { ...config, approvalPolicy: "never" });
  await thread.run("go");
  await manager.shutdown();

  assert.equal(existsSync(join(cwd, "swapped")), true, outputs()[0]);
  assert.equal(outputs().length, PATCHES + 2);
  assert.deepEqual(untouchable(), before, `seed ${SEED}`);
  const inside = [...contentsOf(cwd)].filter(([file]) => file !== join(cwd, "swapped"));
  for (const [file, content] of inside) assert.ok(isWhole(content), `${file}, seed ${SEED}:\n${content.slice(0, 500)}`);
  assert.equal(existsSync(join(cwd, "still/last")), true, outputs().at(-1));
});
