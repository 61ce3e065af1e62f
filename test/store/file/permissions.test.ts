/** A home is its owner's alone. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, lstatSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { type TestContext, test } from "node:test";
import { fileAuthManager, fileStore, openHome, ThreadManager } from "../../../src/index.ts";
import { ModelsCache } from "../../../src/services/models-cache.ts";
import { addTurn, forkAt, header } from "../../../src/store/contract/store-script.ts";
import { repairHome } from "../../../src/store/file/care/repair.ts";
import { verifyHome } from "../../../src/store/file/care/verify.ts";

/** A home that is not there yet, in a process that hides nothing from anybody. */
function newHome(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "skein-modes-"));
  const umask = process.umask(0);
  t.after(() => {
    process.umask(umask);
    rmSync(folder, { recursive: true });
  });
  return join(folder, "above", "home");
}

const modesIn = (home: string): [path: string, mode: string][] =>
  [home, ...readdirSync(home, { recursive: true, encoding: "utf8" }).map((path) => join(home, path))].map((path) => [
    relative(home, path),
    (lstatSync(path).mode & 0o777).toString(8),
  ]);

const wideIn = (home: string) =>
  modesIn(home).filter(([path, mode]) => mode !== (lstatSync(join(home, path)).isDirectory() ? "700" : "600"));

test("whatever a store makes in its home is born for its owner alone", async (t) => {
  const home = newHome(t);
  const store = fileStore({ home });
  const writer = await store.create(header());
  addTurn(writer, "one");
  await writer.flush();
  await store.list();
  assert.deepEqual(wideIn(home), [], "while a thread is written");
  await writer.close();
  const again = await store.open(writer.threadId);
  addTurn(again, "two");
  await again.close();
  await forkAt(store, writer.threadId, "full");
  await store.archive(writer.threadId);
  await store.delete(writer.threadId);
  assert.deepEqual(wideIn(home), [], "while the store is open");
  assert.ok(existsSync(join(home, "catalog.sqlite-wal")), "its log is there to be looked at");
  await store.close();
  assert.deepEqual(wideIn(home), []);
});

test("so are credentials, settings, the models' cache and a thread that a manager runs", async (t) => {
  const home = newHome(t);
  await fileAuthManager({ home }).loginWithApiKey("sk-1234567890");
  const opened = await openHome({ home, env: {}, cwd: "/" });
  await opened.configFile.write("model", "scripted");
  await new ModelsCache({ path: join(home, "models_cache.json"), provider: "p", log: { warn: assert.fail } }).save({
    fetchedAtMs: 0,
    etag: undefined,
    models: [],
  });
  const manager = await ThreadManager.create({ home });
  const { thread } = await manager.startThread();
  await thread.run("hello");
  assert.deepEqual(wideIn(home), []);
  await manager.shutdown();
  assert.deepEqual(wideIn(home), []);
});

test("what is wider is named by verify, as far as others can reach it, and mended by repair", async (t) => {
  const home = newHome(t);
  const store = fileStore({ home });
  const writer = await store.create(header());
  addTurn(writer, "one");
  await writer.close();
  await store.list();
  await store.close();
  writeFileSync(join(home, "auth.json"), "{}");
  for (const [path] of modesIn(home)) {
    const full = join(home, path);
    chmodSync(full, lstatSync(full).isDirectory() ? 0o755 : 0o644);
  }
  const before = await verifyHome({ home });
  const named = before.faults.map(({ kind, path, detail }) => `${kind} ${relative(home, path)}: ${detail}`);
  for (const [path, mode] of modesIn(home)) {
    assert.ok(named.includes(`open_to_others ${path}: its mode is 0${mode}`), `${path} is not named in ${named}`);
  }
  chmodSync(join(home, "sessions"), 0o700);
  const { faults } = await verifyHome({ home });
  assert.ok(!faults.some(({ path }) => path.includes("sessions")), "a closed folder closes what is in it");
  const report = await repairHome({ home });
  assert.deepEqual(report.left, []);
  assert.ok(report.mended.length > 0);
  assert.deepEqual(wideIn(home), []);
});
