/** A disk that is really full, where this process may mount one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { newThreadId } from "../../../src/protocol/ids.ts";
import { userMessage } from "../../../src/protocol/response-item.ts";
import { fileStore } from "../../../src/store/file/file-store.ts";

const disk = mkdtempSync(join(tmpdir(), "skein-full-"));
const isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]).status === 0;
after(() => {
  if (isMounted) spawnSync("umount", [disk]);
  rmdirSync(disk);
});

test("a full disk is told, loses nothing, and is written to again when there is room", {
  skip: !isMounted,
}, async () => {
  const store = fileStore({ home: join(disk, "home") });
  const failures: Error[] = [];
  const meta = {
    id: newThreadId(),
    timestamp: "2026-01-01T00:00:00.000Z",
    cwd: "/",
    originator: "t",
    cli_version: "0",
  };
  const writer = await store.create(meta, { onFailure: (error) => failures.push(error) });
  const filler = join(disk, "filler");
  assert.throws(() => writeFileSync(filler, Buffer.alloc(4 * 1024 * 1024)), { code: "ENOSPC" });
  const texts = Array.from({ length: 200 }, (_, at) => `${at}: ${"x".repeat(1_000)}`);
  for (const text of texts) writer.append({ type: "response_item", payload: userMessage(text) });
  await assert.rejects(writer.flush(), { name: "StoreIoError" });
  assert.equal(failures.length, 1);
  assert.match(failures[0]?.message ?? "", /ENOSPC|no space/i);
  assert.equal(writer.failure, failures[0]);

  rmSync(filler);
  await writer.flush();
  assert.equal(writer.failure, undefined);
  const found: string[] = [];
  for await (const page of store.load(meta.id)) {
    for (const line of page) {
      if (line.type !== "response_item" || line.payload.type !== "message") continue;
      const [part] = line.payload.content;
      if (part?.type === "input_text") found.push(part.text);
    }
  }
  assert.deepEqual(found, texts);
  await store.close();
});
