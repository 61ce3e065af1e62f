import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, test } from "node:test";
import type { ThreadId } from "../../../src/protocol/ids.ts";
import type { RolloutLine } from "../../../src/protocol/rollout.ts";
import { header, user } from "../../../src/store/contract/store-script.ts";
import { homeNames, loaded, parsedLines, TempHome, withoutOrdinals } from "./temp-home.ts";

/** What Codex's own rule gives: the base's lines below the ordinal, then the file's. Legacy files stand alone. */
function expectedLines(paths: readonly string[], path: string): RolloutLine[] {
  const own = parsedLines(path);
  const base = own.find((line) => line.type === "session_meta")?.payload as
    | { history_base?: { thread_id: string; end_ordinal_exclusive: number } }
    | undefined;
  if (base?.history_base === undefined) return own;
  const { thread_id: fileId, end_ordinal_exclusive: end } = base.history_base;
  const basePath = paths.find((other) => basename(other).endsWith(`${fileId}.jsonl`));
  assert.ok(basePath);
  return [...expectedLines(paths, basePath).filter((line) => (line.ordinal ?? 0) < end), ...own];
}

/** What the lines say, without the headers and the times. */
const contents = (lines: readonly RolloutLine[]): unknown[] =>
  lines.filter(({ type }) => type !== "session_meta").map(({ type, payload }) => ({ type, payload }));

describe("what Codex wrote", () => {
  for (const name of homeNames()) {
    test(`${name}: every rollout loads whole, and goes on`, async () => {
      await using home = TempHome.of(name);
      const store = home.open();
      const paths = home.rollouts();
      assert.ok(paths.length > 0);
      for (const path of paths) {
        const before = readFileSync(path);
        const lines = await loaded(store, { rolloutPath: path });
        assert.deepEqual(withoutOrdinals(lines), withoutOrdinals(expectedLines(paths, path)), path);
        const ordinals = lines.map((line) => line.ordinal ?? -1);
        assert.deepEqual(
          ordinals,
          [...new Set(ordinals)].sort((a, b) => a - b),
          "ordinals rise",
        );

        const base = await store.forkBase({ rolloutPath: path }, "full");
        assert.ok(base?.inherits);
        const fork = await store.fork(header(), base);
        fork.append(user("in the fork"));
        await fork.close();
        const forked = await loaded(store, fork.threadId);
        if (forked[0]?.type === "session_meta" && forked[0].payload.history_mode === "legacy") {
          assert.deepEqual(
            contents(forked).slice(0, -1),
            contents(lines),
            "Codex wants a legacy fork to hold its lines",
          );
        } else assert.deepEqual(forked.slice(0, -2), lines);

        const writer = await store.open({ rolloutPath: path });
        assert.equal(writer.position().byteOffset, before.length);
        writer.append(user("resumed"));
        await writer.close();
        const resumed = await loaded(store, { rolloutPath: path });
        assert.deepEqual(resumed.slice(0, -1), lines);
        assert.equal(resumed.at(-1)?.ordinal, (ordinals.at(-1) ?? 0) + 1);
        assert.deepEqual(readFileSync(path).subarray(0, before.length), before, "what was there stays as it was");
        const stored = parsedLines(path).at(-1);
        const numbered = parsedLines(path)[0]?.ordinal !== undefined;
        assert.equal(stored?.ordinal !== undefined, numbered, "a legacy file stays legacy");
      }
    });
  }

  test("a reverted thread is its newest segment, and older segments are read for their forks", async () => {
    await using home = TempHome.of("reverted-0.169");
    const store = home.open();
    const reverted = "01a2022a-c4af-7743-865d-0842a4228acc" as ThreadId;
    const writer = await store.open(reverted);
    assert.match(writer.rolloutPath ?? "", /01a2022a-d3f5-7733-92c1-59bc2928502a\.jsonl$/);
    await writer.close();
    const ofSegment = await store.forkBase("01a2022a-d0f5-7ca3-9f59-ff9d61f522da" as ThreadId, {
      beforeUserMessage: 2,
    });
    assert.equal(ofSegment?.inherits?.threadId, "01a2022a-c907-7c00-8d54-c935831fade9");
    assert.deepEqual(ofSegment?.inherits?.end.ordinal, 25);
    const listed = await store.list({ limit: 100 });
    assert.deepEqual(
      listed.threads.map((thread) => thread.threadId).filter((id) => id === reverted),
      [reverted],
    );
  });
});
