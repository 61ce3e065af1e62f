import { spawnSync } from "node:child_process";
import { close, constants, mkdtempSync, open, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** The threads that Node reads files with. */
const THREADS = Number(process.env.UV_THREADPOOL_SIZE ?? 4);

/** A file whose reading waits until `release`: opening a pipe that nobody writes to holds each thread of Node's pool. */
export function slowFile(t: TestContext): { path: string; release: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "skein-slow-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "file.png");
  const pipe = join(folder, "pipe");
  writeFileSync(path, "no image");
  spawnSync("mkfifo", [pipe]);
  for (let n = 0; n < THREADS; n += 1) open(pipe, "r", (error, fd) => error ?? close(fd));
  let writer: number | undefined;
  const release = () => {
    writer ??= openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  };
  t.after(() => {
    release();
    if (writer !== undefined) close(writer);
  });
  return { path, release };
}
