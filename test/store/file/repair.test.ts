import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { ThreadId } from "../../../src/protocol/ids.ts";
import { addTurn, forkAt, fromTheFuture, header, user } from "../../../src/store/contract/store-script.ts";
import { repairHome } from "../../../src/store/file/care/repair.ts";
import { type FaultKind, verifyHome } from "../../../src/store/file/care/verify.ts";
import { nodeFileSystem } from "../../../src/store/file/file-system.ts";
import { thisProcess } from "../../../src/store/file/lease/process-identity.ts";
import { homeNames, loaded, parsedLines, TempHome, withoutOrdinals } from "./temp-home.ts";

const kinds = async (home: TempHome): Promise<FaultKind[]> =>
  (await verifyHome({ home: home.path })).faults.map(({ kind }) => kind);

async function begin(home: TempHome) {
  const store = home.open();
  const writer = await store.create(header());
  addTurn(writer, "one");
  writer.append(fromTheFuture({ big: 1 }));
  const turn = addTurn(writer, "two");
  await writer.close();
  const path = writer.rolloutPath ?? "";
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  const put = (changed: readonly (string | undefined)[]) => writeFileSync(path, `${changed.join("\n")}\n`);
  return { store, id: writer.threadId, path, lines, put, turn };
}

describe("verify", () => {
  for (const name of homeNames()) {
    test(`finds nothing new in what Codex wrote: ${name}`, async () => {
      await using home = TempHome.of(name);
      const known = name === "fork-edge-0.80" ? ["garbage"] : [];
      assert.deepEqual(await kinds(home), known);
    });
  }

  test("finds nothing in a home that a store wrote and closed", async () => {
    await using home = new TempHome();
    const { store, id } = await begin(home);
    await forkAt(store, id, "full");
    await store.delete(id);
    await store.list();
    await store.close();
    const report = await verifyHome({ home: home.path });
    assert.deepEqual(report.faults, []);
    assert.equal(report.files, 2);
    assert.equal(report.lines, 11);
  });

  test("changes nothing", async () => {
    await using home = new TempHome();
    const { path, store } = await begin(home);
    await store.close();
    writeFileSync(path, "torn", { flag: "a" });
    const before = home.rollouts().map((file) => readFileSync(file));
    await verifyHome({ home: home.path });
    assert.deepEqual(
      home.rollouts().map((file) => readFileSync(file)),
      before,
    );
  });
});

describe("repair mends and keeps the original", () => {
  const cases: Record<string, { fault: FaultKind; damage: (lines: string[]) => string; left?: number }> = {
    "a torn tail": { fault: "torn", damage: (lines) => `${lines.join("\n")}\n{"timestamp":"20` },
    "a missing line feed": { fault: "unterminated", damage: (lines) => lines.join("\n") },
    garbage: {
      fault: "garbage",
      damage: (lines) => `${[...lines.slice(0, 3), "\u0000{{", ...lines.slice(3)].join("\n")}\n`,
    },
    "a line twice": {
      fault: "duplicate",
      damage: (lines) => `${[...lines.slice(0, 3), lines[2], ...lines.slice(3)].join("\n")}\n`,
    },
    "a reused ordinal": {
      fault: "reused",
      damage: (lines) => `${lines.map((line) => line.replace('"ordinal":4', '"ordinal":3')).join("\n")}\n`,
    },
    "a gap": {
      fault: "gap",
      damage: (lines) =>
        `${lines.map((line) => line.replace(/"ordinal":([89]|10)\b/, (_, n) => `"ordinal":${Number(n) + 5}`)).join("\n")}\n`,
    },
  };
  for (const [what, { fault, damage }] of Object.entries(cases)) {
    test(what, async () => {
      await using home = new TempHome();
      const { store, id, path, lines } = await begin(home);
      const whole = await loaded(store, id);
      await store.close();
      const damaged = damage(lines);
      writeFileSync(path, damaged);
      assert.ok((await kinds(home)).includes(fault));
      const report = await repairHome({ home: home.path });
      assert.deepEqual(report.left, []);
      assert.ok(report.mended.some(({ kind }) => kind === fault));
      assert.deepEqual(report.kept, [`${path}.orig`]);
      assert.equal(readFileSync(`${path}.orig`, "utf8"), damaged);
      const again = home.open();
      assert.deepEqual(await loaded(again, id), whole);
      const writer = await again.open(id);
      writer.append(user("goes on"));
      await writer.close();
    });
  }

  test("garbage in a file that forks share is overwritten in place, so their offsets stay true", async () => {
    await using home = new TempHome();
    const { store, id, path, lines } = await begin(home);
    const fork = await forkAt(store, id, "full", (writer) => addTurn(writer, "three"));
    const whole = await loaded(store, fork);
    await store.close();
    const size = readFileSync(path).length;
    const broken = lines.map((line, n) => (n === 5 ? "#".repeat(line.length) : line));
    writeFileSync(path, `${broken.join("\n")}\n`);
    const report = await repairHome({ home: home.path });
    assert.deepEqual(report.left, []);
    assert.equal(readFileSync(path).length, size);
    const mended = await loaded(home.open(), fork);
    assert.deepEqual(
      mended.filter((line) => line.ordinal !== 5),
      whole.filter((line) => line.ordinal !== 5),
    );
    assert.equal(mended.length, whole.length);
  });

  test("a wrong byte offset of a base is tolerated, named and put right", async () => {
    await using home = new TempHome();
    const { store, id, turn } = await begin(home);
    const fork = await forkAt(store, id, { beforeTurn: turn }, (writer) => addTurn(writer, "other"));
    const whole = await loaded(store, fork);
    const path = (await store.get(fork)).rolloutPath ?? "";
    await store.close();
    const good = readFileSync(path, "utf8");
    writeFileSync(
      path,
      good.replace(/"end_byte_offset":\d+/, (text) => text.replace(/\d\d$/, "01")),
    );
    const wrong = home.open();
    assert.deepEqual(withoutOrdinals((await loaded(wrong, fork)).slice(0, 6)), withoutOrdinals(whole.slice(0, 6)));
    assert.equal(wrong.problems[0]?.kind, "base_offset");
    await wrong.close();
    assert.deepEqual(await kinds(home), ["base_offset"]);
    const report = await repairHome({ home: home.path });
    assert.deepEqual(report.left, []);
    assert.equal(readFileSync(path, "utf8"), good);
  });

  test("what only a person can decide is named and left", async () => {
    await using home = new TempHome();
    const { store, id, path } = await begin(home);
    const fork = await forkAt(store, id, "full", (writer) => addTurn(writer, "three"));
    await store.close();
    rmSync(path);
    const report = await repairHome({ home: home.path });
    assert.deepEqual(
      report.left.map(({ kind }) => kind),
      ["base_missing"],
    );
    assert.equal((await loaded(home.open(), fork)).length, 5, "its own lines are still read");
  });

  test("leases that dead processes left", async () => {
    await using home = new TempHome();
    const { store } = await begin(home);
    await store.close();
    const owner = join(home.path, "leases", "owners", "dead.json");
    const gone = { ...thisProcess(), pid: 2 ** 30, token: "dead", since: "2026-01-01T00:00:00.000Z" };
    writeFileSync(owner, JSON.stringify(gone));
    nodeFileSystem.link(owner, join(home.path, "leases", header().id));
    assert.deepEqual(await kinds(home), ["orphan_lease"]);
    const report = await repairHome({ home: home.path });
    assert.deepEqual(report.left, []);
    assert.equal(existsSync(owner), false);
  });
});

describe("export", () => {
  test("paginated: a fork becomes a file of its own, all bytes of its lines kept", async () => {
    await using home = new TempHome();
    const { store, id } = await begin(home);
    const fork = await forkAt(store, id, "full", (writer) => addTurn(writer, "three"));
    const path = join(home.path, "flat.jsonl");
    for await (const text of store.export(fork, { format: "paginated" })) writeFileSync(path, text, { flag: "a" });
    const flat = await loaded(store, { rolloutPath: path });
    const isHeader = (line: { type: string }) => line.type === "session_meta";
    const source = (await loaded(store, fork)).filter((line) => !isHeader(line));
    assert.deepEqual(withoutOrdinals(flat.slice(1)), withoutOrdinals(source));
    assert.deepEqual(
      flat.map(({ ordinal }) => ordinal),
      flat.map((_, n) => n),
    );
    const [head] = flat;
    assert.ok(head?.type === "session_meta");
    assert.deepEqual([head.payload.id, head.payload.forked_from_id, head.payload.history_base], [fork, id, undefined]);
  });

  test("legacy: no ordinals, and the events that older versions read in place of completed items", async () => {
    await using home = TempHome.of("forks-0.169");
    const store = home.open();
    const fork = "01a2022a-1242-7792-902b-0225ef62257b" as ThreadId;
    const path = join(home.path, "flat.jsonl");
    for await (const text of store.export(fork, { format: "legacy" })) writeFileSync(path, text, { flag: "a" });
    const flat = parsedLines(path);
    assert.ok(flat.every((line) => line.ordinal === undefined));
    assert.equal(flat.filter(({ type }) => type === "session_meta").length, 1);
    const events = flat.filter(({ type }) => type === "event_msg").map((line) => line.payload as { type: string });
    assert.equal(events.filter(({ type }) => type === "item_completed").length, 0);
    const said = events.filter(({ type }) => type === "user_message").length;
    assert.ok(said > 1);
    assert.equal(events.filter(({ type }) => type === "agent_message").length, said);
    const responses = (lines: readonly { type: string; payload: unknown }[]) =>
      lines.filter(({ type }) => type === "response_item").map(({ payload }) => payload);
    assert.deepEqual(responses(flat), responses(await loaded(store, fork)));
  });

  test("forks as copies are legacy files that stand alone", async () => {
    await using home = new TempHome();
    const { id, store } = await begin(home);
    await store.close();
    const copies = home.open({ forkStorage: "copy" });
    const fork = await forkAt(copies, id, "full", (writer) => addTurn(writer, "three"));
    const path = (await copies.get(fork)).rolloutPath ?? "";
    const lines = parsedLines(path);
    assert.ok(lines.every((line) => line.ordinal === undefined));
    assert.equal(lines.length, 1 + 9 + 4);
    await copies.delete(id);
    assert.equal((await loaded(copies, fork)).length, 14);
    assert.deepEqual(home.rollouts(), [path]);
  });

  test("a fork of a rollout outside the home carries its lines", async () => {
    await using home = new TempHome();
    await using elsewhere = new TempHome();
    const { path, id, store: other } = await begin(elsewhere);
    await other.close();
    const store = home.open();
    const fork = await forkAt(store, { rolloutPath: path }, "full");
    rmSync(path);
    const lines = await loaded(store, fork);
    assert.equal(lines.length, 10);
    assert.equal((await store.get(fork)).forkedFromId, id);
  });
});
