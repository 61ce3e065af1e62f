/**
 * On a disk where each call takes longer than the loop may be kept, no work of the store keeps it for many calls: what
 * reads long files, and what walks many, lets it turn in between.
 */
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ThreadId } from "../../../src/protocol/ids.ts";
import { addTurn, forkAt, storedThread, user } from "../../../src/store/contract/store-script.ts";
import { repairHome } from "../../../src/store/file/care/repair.ts";
import { verifyHome } from "../../../src/store/file/care/verify.ts";
import type { FileStore } from "../../../src/store/file/file-store.ts";
import { type FileSystem, nodeFileSystem } from "../../../src/store/file/file-system.ts";
import { TempHome } from "./temp-home.ts";

/** Longer than yieldToLoop lets the loop be kept, in milliseconds. */
const EACH_CALL_MS = 11;

/** Each call of it takes its time by the process's own clock, which stands still otherwise. */
function slowDisk(t: TestContext): {
  readonly fileSystem: FileSystem;
  mostCalls(work: () => Promise<unknown>): Promise<number>;
} {
  let [now, calls, most] = [performance.now(), 0, 0];
  t.mock.method(performance, "now", () => now);
  const take = () => {
    now += EACH_CALL_MS;
    calls += 1;
    most = Math.max(most, calls);
  };
  const fileSystem = Object.assign(Object.create(nodeFileSystem) as FileSystem, {
    open: (...args: Parameters<FileSystem["open"]>) => {
      take();
      return nodeFileSystem.open(...args);
    },
    read: (...args: Parameters<FileSystem["read"]>) => {
      take();
      return nodeFileSystem.read(...args);
    },
  });
  return {
    fileSystem,
    mostCalls: async (work) => {
      let isOver = false;
      const turn = () => {
        calls = 0;
        if (!isOver) setImmediate(turn);
      };
      await new Promise((resolve) => setImmediate(resolve));
      [calls, most] = [0, 0];
      setImmediate(turn);
      await work().finally(() => {
        isOver = true;
      });
      return most;
    },
  };
}

const all = async (pages: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of pages);
};

function forgetCatalog(home: TempHome): void {
  for (const name of readdirSync(home.path)) if (name.startsWith("catalog.sqlite")) rmSync(join(home.path, name));
}

/** The head, end and lines of one file or two, and what their heirs ask of them. */
const MOST_CALLS = 24;
const FORKS = 40;

test("on a slow disk the loop turns every few calls, whatever the store reads", async (t) => {
  await using home = new TempHome();
  const store = home.open();
  const { id: long } = await storedThread(store, []);
  const writer = await store.open(long);
  for (let n = 0; n < 500; n += 1) addTurn(writer, `${n}`.padEnd(10_000, "x"));
  await writer.close();
  let { id: deep } = await storedThread(store, ["the first words"]);
  for (let n = 0; n < FORKS; n += 1) {
    await storedThread(store, ["a thread of its own"]);
    deep = await forkAt(store, deep, "full", (fork) => fork.append(user(`fork ${n}`)));
  }
  await store.close();

  const { fileSystem, mostCalls } = slowDisk(t);
  const asked = (work: (store: FileStore) => Promise<unknown>, forkStorage?: "copy") => async () => {
    const slow = home.open({ fileSystem, ...(forkStorage && { forkStorage }) });
    await work(slow);
    await slow.close();
  };
  const fork = (id: ThreadId) => (slow: FileStore) => forkAt(slow, id, "full", (own) => own.append(user("more")));
  const withoutCatalog = (work: () => Promise<unknown>) => async () => {
    forgetCatalog(home);
    await work();
  };
  const works: Record<string, () => Promise<unknown>> = {
    "load a long thread": asked((slow) => all(slow.load(long))),
    "load a deep one": asked((slow) => all(slow.load(deep))),
    "export a long one": asked((slow) => all(slow.export(long))),
    "export a deep one": asked((slow) => all(slow.export(deep))),
    "an image's lines": asked(async (slow) => all((await slow.image(long)).lines())),
    "an image's history": asked(async (slow) => all((await slow.image(deep)).history())),
    "find where a long one can be forked": withoutCatalog(
      asked((slow) => slow.forkBase(long, { beforeUserMessage: 9 })),
    ),
    "find where a deep one can be forked": withoutCatalog(
      asked((slow) => slow.forkBase(deep, { beforeUserMessage: 0 })),
    ),
    "find it by its path": asked((slow) =>
      slow.forkBase({ rolloutPath: home.rollouts()[0] ?? "" }, { beforeUserMessage: 9 }),
    ),
    "fork a deep one": asked(fork(deep)),
    "copy a long one": asked(fork(long), "copy"),
    "copy a deep one": asked(fork(deep), "copy"),
    "list all": withoutCatalog(asked((slow) => slow.list())),
    "list all, where each file's place is known": withoutCatalog(
      asked(async (slow) => {
        await all(slow.load(deep));
        await slow.list();
      }),
    ),
    "look for words": withoutCatalog(asked((slow) => slow.list({ search: "fork 7" }))),
    check: () => verifyHome({ home: home.path, fileSystem }),
    mend: withoutCatalog(() => repairHome({ home: home.path, fileSystem })),
  };
  const kept: Record<string, number> = {};
  for (const [name, work] of Object.entries(works)) kept[name] = await mostCalls(work);
  assert.deepEqual(
    Object.entries(kept).filter(([, calls]) => calls > MOST_CALLS),
    [],
  );
});
