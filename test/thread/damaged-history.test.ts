/** A thread whose stored lines are damaged goes on, and says that the model does not see all of its history. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileStore } from "../../src/index.ts";
import { rig, textsOf } from "../rig.ts";

for (const lost of [["ack: a"], ["ack: a", "ack: b"]])
  test(`its user is warned once, and told the place: ${lost.length} of its lines cannot be read`, async (t) => {
    const home = mkdtempSync(join(tmpdir(), "skein-damaged-"));
    t.after(() => rmSync(home, { recursive: true, force: true }));
    await using before = await rig({ store: fileStore({ home, fsync: "never" }) });
    const { thread, threadId } = await before.manager.startThread();
    for (const text of ["a", "b"]) await thread.run(text);
    await thread.shutdown();
    const [file = ""] = readdirSync(home, { recursive: true, encoding: "utf8" }).filter((name) =>
      /rollout-.*\.jsonl$/.test(name),
    );
    const path = join(home, file);
    const lines = readFileSync(path, "utf8").split("\n");
    const isLost = (line: string) => line.includes('"response_item"') && lost.some((text) => line.includes(text));
    writeFileSync(path, lines.map((line) => (isLost(line) ? line.replace('"type"', '"type') : line)).join("\n"));

    await using r = await rig({ store: fileStore({ home, fsync: "never" }) });
    const resumed = await r.manager.resumeThread(threadId);
    const warnings: string[] = [];
    resumed.thread.events$.subscribe(({ msg }) => {
      if (msg.type === "warning") warnings.push(msg.message);
    });
    await resumed.thread.run("c");
    await resumed.thread.run("d");
    const kept = ["a", "ack: a", "b", "ack: b"].filter((text) => !lost.includes(text));
    assert.deepEqual(textsOf(r.model.requests[0] ?? { input: [] }), [...kept, "c"]);
    assert.equal(warnings.length, 1);
    assert.ok(warnings[0]?.includes(`${path}: garbage`), warnings[0]);
  });
