/** How large V8's young generation becomes under the same load, with the cap and without. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

const BUSY = `
  import { getHeapSpaceStatistics } from "node:v8";
  import { capYoungGeneration } from ${JSON.stringify(new URL("../../src/kernel/young-generation.ts", import.meta.url).href)};
  if (process.argv[1] === "capped") capYoungGeneration();
  const kept = [];
  let most = 0;
  for (let round = 0; round < 150; round += 1) {
    for (let n = 0; n < 20_000; n += 1) kept[(round * 20_000 + n) % 1_000_000] = { round, n };
    // Who observes collections is told between two turns of the loop.
    await new Promise((resolve) => setImmediate(resolve));
    const { space_size } = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
    most = Math.max(most, space_size);
  }
  console.log(most / 1024 / 1024);
`;

function mebibytes(how: string): number {
  const { stdout, stderr } = spawnSync(process.execPath, ["--no-warnings", "--input-type=module", "-e", BUSY, how], {
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(stderr, "");
  return Number(stdout);
}

test("the young generation of a program that caps it doubles no more once it has 16 MiB", () => {
  const [free, capped] = [mebibytes("free"), mebibytes("capped")];
  // The engine commits some pages beyond the size that it has chosen.
  assert.ok(capped >= 16 && capped < 32 && free >= 32, `${capped} MiB of ${free}`);
});
