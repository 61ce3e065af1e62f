/** When the catalog is brought up to date in the background, and asked again: counted, by a clock that only the test moves. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { ManualClock } from "../../../src/kernel/clock.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { header } from "../../../src/store/contract/store-script.ts";
import { CatalogIndex } from "../../../src/store/file/catalog/index-of-home.ts";
import { observe, settled } from "../../kernel/settled.ts";
import { latch, overlaid } from "../../rig.ts";
import { TempHome } from "./temp-home.ts";

test("lists that come while a scan runs begin no other one, and the pause behind it is nineteen times its length, 5 s at least", async () => {
  await using home = new TempHome();
  const clock = new ManualClock();
  let scans = 0;
  let gate = latch();
  const index = new CatalogIndex({
    path: join(home.path, "catalog.sqlite"),
    clock,
    log: silentLog,
    scan: () => {
      scans += 1;
      return gate.opened;
    },
    look: async () => undefined,
    growing: { hasGrown: false, tellGrowth: () => undefined },
  });
  const scansAfter = async (ms: number) => {
    await clock.advanceAsync(ms);
    index.refresh();
    await settled();
    return scans;
  };
  const endScan = async () => {
    gate.open();
    gate = latch();
    await settled();
  };
  index.refresh();
  await endScan();
  assert.equal(scans, 1, "the catalog is new, and built");
  assert.deepEqual([await scansAfter(4_999), await scansAfter(1)], [1, 2]);
  assert.deepEqual([await scansAfter(0), await scansAfter(10_000)], [2, 2], "one runs");
  await endScan();
  assert.deepEqual([await scansAfter(189_999), await scansAfter(1)], [2, 3]);
  await clock.advanceAsync(100);
  await endScan();
  assert.deepEqual([await scansAfter(4_999), await scansAfter(1)], [3, 4]);
  await endScan();
  index.close();
});

test("a list that another process keeps waiting asks for the catalog every 50 ms, and is answered once that is free", async () => {
  await using home = new TempHome();
  const clock = new ManualClock();
  let looks = 0;
  const monotonic = () => {
    looks += 1;
    return clock.now();
  };
  const store = home.open({ clock: overlaid(clock, { monotonic }) });
  await (await store.create(header())).close();
  await store.list();
  using other = new DatabaseSync(join(home.path, "catalog.sqlite"));
  other.exec("BEGIN IMMEDIATE");
  await store.create(header());
  const before = looks;
  const listing = observe(store.list());
  for (let n = 0; n < 200; n += 1) await settled();
  assert.ok(looks - before < 20, `while no time passes, it looks at the clock ${looks - before} times`);
  for (let n = 0; n < 4; n += 1) {
    await settled();
    await clock.advanceAsync(50);
  }
  assert.equal(listing.outcome, "pending");
  other.exec("ROLLBACK");
  for (let n = 0; n < 30 && listing.outcome === "pending"; n += 1) {
    await settled();
    await clock.advanceAsync(50);
  }
  const { value } = listing.outcome as unknown as { value: { threads: unknown[] } };
  assert.equal(value.threads.length, 2);
});
