/** What is left of a process's commands when it is killed outright. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const GROUPS = new URL("../../src/process/process-group.ts", import.meta.url).href;
const CLOCK = new URL("../../src/kernel/clock.ts", import.meta.url).href;

/** Runs this script with sh, in groups of its own, one after another but for the last, and stays. */
const program = (scripts: readonly string[]) => `
  import { ProcessGroup } from ${JSON.stringify(GROUPS)};
  import { systemClock as clock } from ${JSON.stringify(CLOCK)};
  const start = (script) => new ProcessGroup({ argv: ["/bin/sh", "-c", script], cwd: "/", env: process.env }, { clock });
  for (const script of ${JSON.stringify(scripts.slice(0, -1))}) await start(script).exit;
  start(${JSON.stringify(scripts.at(-1))});
  process.stdout.write("watched");
  setInterval(() => undefined, 1_000_000);
`;

test("a process that is killed outright leaves no command running, nor what that has started", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "skein-warden-"));
  t.after(() => rm(folder, { recursive: true }));
  const held = join(folder, "held");
  execFileSync("mkfifo", [held]);
  // Whoever of the group lives holds the pipe open.
  const stays = `exec 9>"${held}"; (trap '' TERM HUP; sleep 300) & echo begun >&9; sleep 300`;
  const args = ["--input-type=module", "--eval", program(["true", "exit 3", stays])];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const pipe = createReadStream(held, "utf8");
  // A process that dies between a group's start and telling of it leaves the group: nobody else knows of it.
  const [[begun]] = await Promise.all([once(pipe, "data"), once(child.stdout, "data")]);
  assert.equal(begun, "begun\n");
  child.kill("SIGKILL");
  await once(pipe.resume(), "end", { signal: AbortSignal.timeout(20_000) });
});

test("a process that ends by itself is not held up by what watches its groups", async () => {
  const source = program(["true", "true"]).replace(/\n\s*setInterval.*\n/, "\n");
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [code] = await once(child, "exit", { signal: AbortSignal.timeout(20_000) });
  assert.equal(code, 0);
});
