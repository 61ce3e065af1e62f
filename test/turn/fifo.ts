import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** A named pipe that looks like an image and never gives a byte; freed after the test. */
export function mkfifoSync(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "skein-fifo-"));
  const path = join(folder, "picture.png");
  execFileSync("mkfifo", [path]);
  t.after(() => {
    // Whoever still waits to open it for reading is let go.
    closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    rmSync(folder, { recursive: true });
  });
  return path;
}
