import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { RolloutCorruptError } from "../../../src/protocol/errors.ts";
import { addTurn, compacted, fromTheFuture, header, user } from "../../../src/store/contract/store-script.ts";
import { loaded, putFile, TempHome, withoutOrdinals } from "./temp-home.ts";

async function sample(home: TempHome, mode: "legacy" | "paginated") {
  const store = home.open();
  const writer = await store.create(header({ history_mode: mode }));
  addTurn(writer, "first é\u2028 🚀");
  writer.append(compacted("so far"));
  writer.append(fromTheFuture({ a: [1] }));
  addTurn(writer, "second");
  await writer.close();
  const path = writer.rolloutPath ?? "";
  return { store, path, bytes: readFileSync(path), lines: await loaded(store, { rolloutPath: path }) };
}

describe("a rollout cut off at any byte", () => {
  for (const mode of ["paginated", "legacy"] as const) {
    test(`${mode}: loads all whole lines, and the next append starts a line of its own`, async () => {
      await using home = new TempHome();
      const { store, path, bytes, lines } = await sample(home, mode);
      const headerEnd = bytes.indexOf(10);
      for (let length = 0; length <= bytes.length; length += 1) {
        const cut = bytes.subarray(0, length);
        putFile(path, cut);
        if (length < headerEnd) {
          await assert.rejects(loaded(store, { rolloutPath: path }), RolloutCorruptError);
          continue;
        }
        const feeds = cut.filter((byte) => byte === 10).length;
        // A line that only lacks its line feed is whole.
        const whole = length === bytes.length || bytes[length] !== 10 ? feeds : feeds + 1;
        const got = await loaded(store, { rolloutPath: path });
        assert.deepEqual(got, lines.slice(0, whole), `cut at ${length}`);
        if (length % 7 !== 0 && length !== headerEnd) continue;

        const writer = await store.open({ rolloutPath: path });
        assert.equal(writer.position().ordinal, whole);
        writer.append(user("after the cut"));
        await writer.close();
        const mended = await loaded(store, { rolloutPath: path });
        assert.deepEqual(mended.slice(0, -1), lines.slice(0, whole));
        assert.equal(mended.at(-1)?.ordinal, whole);
        const torn = whole === feeds && bytes[length - 1] !== 10;
        assert.equal(existsSync(`${path}.torn`) || !torn, true, "the torn bytes are kept");
      }
    });
  }

  test("garbage between lines is passed over and reported; what follows keeps its place", async () => {
    await using home = new TempHome();
    const { path, bytes, lines } = await sample(home, "paginated");
    const text = bytes.toString("utf8").split("\n");
    for (let at = 1; at < text.length - 1; at += 1) {
      for (const garbage of [
        "{half a li",
        "\u0000\u0000\u0000",
        "[]",
        '{"timestamp":"x","type":"response_item","payload":5}',
      ]) {
        const store = home.open();
        putFile(path, [...text.slice(0, at), garbage, ...text.slice(at)].join("\n"));
        assert.deepEqual(await loaded(store, { rolloutPath: path }), lines);
        assert.equal(store.problems.length, 1);
        assert.match(store.problems[0]?.kind ?? "", /garbage|unreadable/);
        await store.close();
      }
    }
  });

  test("a line that stands there twice is read once; lost and reused ordinals are reported, and nothing is left out", async () => {
    await using home = new TempHome();
    const { path, bytes, lines } = await sample(home, "paginated");
    const text = bytes.toString("utf8").trimEnd().split("\n");
    const twice = home.open();
    putFile(path, `${[...text.slice(0, 4), text[3], ...text.slice(4)].join("\n")}\n`);
    assert.deepEqual(await loaded(twice, { rolloutPath: path }), lines);
    assert.deepEqual(
      twice.problems.map(({ kind }) => kind),
      ["duplicate"],
    );
    const gap = home.open();
    putFile(path, `${[...text.slice(0, 4), ...text.slice(5)].join("\n")}\n`);
    assert.equal((await loaded(gap, { rolloutPath: path })).length, lines.length - 1);
    assert.equal(gap.problems[0]?.kind, "gap");
    const reused = home.open();
    const other = text[4]?.replace('"ordinal":4', '"ordinal":3') ?? "";
    putFile(path, `${[...text.slice(0, 4), other, ...text.slice(5)].join("\n")}\n`);
    assert.deepEqual(withoutOrdinals(await loaded(reused, { rolloutPath: path })), withoutOrdinals(lines));
    assert.ok(reused.problems.some(({ kind }) => kind === "reused"));
  });
});
