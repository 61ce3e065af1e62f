/** What a killed test has started ends with it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { LEASH } from "./leash.ts";

const forEver = 'process.stdout.write("here\\n"); setInterval(() => undefined, 60_000)';
const STARTER = `
  import { spawn } from "node:child_process";
  import { LEASH } from ${JSON.stringify(new URL("./leash.ts", import.meta.url).href)};
  spawn(process.execPath, [...LEASH, "--eval", ${JSON.stringify(forEver)}], { stdio: ["pipe", "inherit", "inherit"] });
  setInterval(() => undefined, 60_000);
`;

test("a child on a leash ends when its parent is killed", { timeout: 60_000 }, async () => {
  const parent = spawn(process.execPath, ["--input-type=module", "--eval", STARTER], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(parent.stdout, "data");
  // The child has the parent's output too, so that it closes when both are gone.
  const closed = once(parent.stdout.resume(), "close");
  parent.kill("SIGKILL");
  await closed;
});

test("a child on a leash ends by itself when its work is done, and lives while its parent does", async () => {
  const child = spawn(process.execPath, [...LEASH, "--eval", "setTimeout(() => process.exit(7), 20)"], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  assert.deepEqual(await once(child, "exit"), [7, null]);
  const idle = spawn(process.execPath, [...LEASH, "--eval", ""], { stdio: ["pipe", "ignore", "inherit"] });
  assert.deepEqual(await once(idle, "exit"), [0, null]);
});
