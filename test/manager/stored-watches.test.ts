/** Watches and links that outlive their process. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { type Down, ManagerClosedError, type Thread, type ThreadId, ThreadManager } from "../../src/index.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { StandingNotes } from "../../src/store/standing-notes.ts";
import { settled } from "../kernel/settled.ts";
import { latch, overlaid, type Rig, rig, until } from "../rig.ts";

const fact = ({ reason, epoch }: Down) => [reason, epoch];

/** Managers, one after another, over one store. */
function processes() {
  const store = memoryStore();
  let now: Rig | undefined;
  return {
    store,
    async next(): Promise<Rig> {
      await now?.[Symbol.asyncDispose]();
      now = await rig({ store });
      return now;
    },
    async [Symbol.asyncDispose]() {
      await now?.[Symbol.asyncDispose]();
    },
  };
}

const start = async (r: Rig): Promise<Thread> => {
  const { thread } = await r.manager.startThread();
  await thread.run("hello");
  return thread;
};
const resume = async (r: Rig, id: ThreadId): Promise<Thread> => (await r.manager.resumeThread(id)).thread;
const notesLeft = async (p: ReturnType<typeof processes>) => (await p.store.notes?.threads("watches")) ?? [];

suite("stored watches", () => {
  test("SEMANTICS 6.7: the end of a process ends nobody; the next goes on with the watch, whichever side comes first", async () => {
    for (const isWatcherFirst of [true, false]) {
      await using p = processes();
      const first = await p.next();
      const [watcher, watched] = [await start(first), await start(first)];
      const told: Down[] = [];
      const monitor = watcher.monitor(watched, { onDown: (down) => told.push(down) });
      await monitor.stored;
      const second = await p.next();
      await assert.rejects(monitor.down, ManagerClosedError);
      const order = isWatcherFirst ? [watcher.id, watched.id] : [watched.id, watcher.id];
      for (const id of order) await resume(second, id);
      const [again, ...others] = await (await second.manager.getThread(watcher.id)).monitors();
      assert.deepEqual([again?.ref, again?.threadId, others], [monitor.ref, watched.id, []]);
      await (await second.manager.getThread(watched.id)).shutdown();
      assert.deepEqual(fact((await again?.down) as Down), ["shutdown", 2]);
      assert.deepEqual(told, []);
      await settled();
      assert.deepEqual(await notesLeft(p), []);
    }
  });

  test("SEMANTICS 6.7: an end that came while the watcher was away is told once, when it is back, in whatever process", async () => {
    await using p = processes();
    const first = await p.next();
    const [watcher, watched] = [await start(first), await start(first)];
    await watcher.monitor(watched).stored;
    await watcher.monitor(watched).stored;
    const second = await p.next();
    await (await resume(second, watched.id)).shutdown();
    const third = await p.next();
    const back = await resume(third, watcher.id);
    const byCall = back.monitor(watched.id);
    assert.deepEqual(fact(await byCall.down), ["shutdown", 2]);
    await byCall.stored;
    const rest = await back.monitors();
    assert.deepEqual(await Promise.all(rest.map(({ down }) => down.then(fact))), [["shutdown", 2]]);
    assert.deepEqual(await back.monitors(), []);
    assert.deepEqual(fact(await back.monitor(watched.id).down), ["not_found", null]);
    await settled();
    assert.deepEqual(await notesLeft(p), []);
  });

  test("SEMANTICS 6.7: what was given up, or whose watcher has ended, does not come back; one that is deleted is not found", async () => {
    await using p = processes();
    const first = await p.next();
    const [watcher, watched, other] = [await start(first), await start(first), await start(first)];
    const givenUp = watcher.monitor(watched);
    await givenUp.stored;
    givenUp.demonitor();
    await watcher.monitor(other).stored;
    await watched.monitor(other).stored;
    await watched.shutdown();
    const second = await p.next();
    const back = await resume(second, watcher.id);
    const [left, ...others] = await back.monitors();
    assert.deepEqual([left?.threadId, others], [other.id, []]);
    await second.manager.deleteThread(other.id);
    assert.equal((await left?.down)?.reason, "not_found");
    await settled();
    assert.deepEqual(await notesLeft(p), []);
  });

  test("SEMANTICS 6.8: a link holds over the process; who was away when the other ended ends when it comes, unless it traps", async () => {
    await using p = processes();
    const first = await p.next();
    const threads = [await start(first), await start(first), await start(first)];
    const [a, b, trapping] = threads as [Thread, Thread, Thread];
    await a.link(b).stored;
    await trapping.link(b, { trap: true }).stored;
    const second = await p.next();
    await (await resume(second, b.id)).shutdown();
    const third = await p.next();
    const closed: ThreadId[] = [];
    third.manager.threadClosed$.subscribe(({ threadId }) => closed.push(threadId));
    await resume(third, a.id);
    await until(() => closed.includes(a.id));
    const trapped = await resume(third, trapping.id);
    const [told] = await trapped.monitors();
    assert.equal((await told?.down)?.reason, "shutdown");
    assert.equal((await trapped.run("still there")).status, "completed");
    await settled();
    assert.deepEqual(await notesLeft(p), []);
  });

  test("SEMANTICS 6.7: whoever asks while it is being read what stands beside the thread waits for it, and is told", async () => {
    await using p = processes();
    const first = await p.next();
    const [watcher, watched] = [await start(first), await start(first)];
    await watcher.monitor(watched).stored;
    await p.next();
    let gate = latch();
    gate.open();
    const kept = p.store.notes ?? assert.fail();
    const read: StandingNotes["read"] = async (threadId, kind) => {
      if (kind === "watches") await gate.opened;
      return kept.read(threadId, kind);
    };
    await using r = await rig({ store: overlaid(p.store, { notes: overlaid(kept, { read }) }) });
    await (await start(r)).monitors();
    gate = latch();
    const asking = (await resume(r, watcher.id)).monitors();
    await settled();
    gate.open();
    const told: Down[] = [];
    for (const { down } of await asking) void down.then((one) => told.push(one));
    await settled();
    await (await resume(r, watched.id)).shutdown();
    await until(() => told.length > 0);
  });

  test("SEMANTICS 6.8: unlinked, or both ended, nothing of it is left", async () => {
    await using p = processes();
    const first = await p.next();
    const [a, b, c] = [await start(first), await start(first), await start(first)];
    const link = a.link(b);
    await link.stored;
    assert.equal(link.unlink(), true);
    const bound = b.link(c);
    await bound.stored;
    await c.shutdown();
    await until(() => first.manager.loadedThread(b.id) === undefined);
    await settled();
    assert.deepEqual(await notesLeft(p), []);
    assert.equal((await a.run("alone")).status, "completed");
  });

  test("SEMANTICS 6.7: a note that can't be read or written leaves the watch to this process, and says so", async () => {
    const store = memoryStore();
    const { notes } = store;
    assert.ok(notes !== undefined);
    const write = notes.write.bind(notes);
    notes.write = async (threadId, kind, value) => {
      if (kind === "watches") throw new Error("disk on fire");
      await write(threadId, kind, value);
    };
    await using r = await rig({ store });
    const [watcher, watched] = [await start(r), await start(r)];
    const monitor = watcher.monitor(watched);
    await assert.rejects(monitor.stored, /disk on fire/);
    await watched.shutdown();
    assert.equal((await monitor.down).reason, "shutdown");
  });

  test("SEMANTICS 6.7 and 6.8: killed (-9), the next process goes on with what was stored", async () => {
    const home = mkdtempSync(join(tmpdir(), "skein-watches-"));
    try {
      const child = fileURLToPath(new URL("watch-child.ts", import.meta.url));
      const { signal, stdout, stderr } = spawnSync(process.execPath, [child, home], { encoding: "utf8" });
      assert.equal(signal, "SIGKILL", stderr);
      const [watcher, watched, bound] = JSON.parse(stdout) as ThreadId[];
      await using manager = await ThreadManager.create({ home, model: scriptedClient() });
      const resumed = async (id: ThreadId | undefined) =>
        (await manager.resumeThread(id ?? "", undefined, { lease: "takeOver" })).thread;
      await resumed(bound);
      await (await resumed(watched)).shutdown();
      const monitors = await (await resumed(watcher)).monitors();
      assert.deepEqual(await Promise.all(monitors.map(({ down }) => down.then(({ reason }) => reason))), ["shutdown"]);
      while (manager.loadedThread(bound as ThreadId) !== undefined)
        await new Promise((resolve) => setTimeout(resolve, 5));
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });

  test("SEMANTICS 6.1 and 6.7: over restarts, loads and ends in any order each watch is told at most once, and in the end once", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constantFrom("watch", "ask", "load", "unload", "end"), from: fc.nat(2), to: fc.nat(2) }),
      fc.constant({ do: "restart", from: 0, to: 0 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 16 }), async (steps) => {
        await using p = processes();
        let r = await p.next();
        const ids = [(await start(r)).id, (await start(r)).id, (await start(r)).id];
        const id = (at: number) => ids[at] as ThreadId;
        /** By pair: how many watches wait for the next end, and how many ends were told. */
        const owed = new Map<string, number>();
        const told = new Map<string, number>();
        const held = new Set<string>();
        const pair = (from: number, to: number) => `${from} ${to}`;
        const add = (map: Map<string, number>, key: string, n: number) => void map.set(key, (map.get(key) ?? 0) + n);
        const here = async (at: number) => r.manager.getThread(id(at)).catch(() => undefined);
        const hold = (from: number, monitor: { ref: string; threadId: ThreadId; down: Promise<Down> }) => {
          const key = pair(from, ids.indexOf(monitor.threadId));
          if (held.has(monitor.ref)) return;
          held.add(monitor.ref);
          monitor.down.then(
            ({ reason }) => void (reason !== "not_found" && add(told, key, 1)),
            () => held.delete(monitor.ref),
          );
        };
        const restart = async () => {
          r = await p.next();
          await settled();
        };
        for (const { do: what, from, to } of steps) {
          if (what === "restart") await restart();
          else if (what === "load") await r.manager.resumeThread(id(from)).catch(() => undefined);
          else if (what === "watch" && from !== to) {
            const [watcher, watched] = [await here(from), await here(to)];
            if (watcher === undefined || watched === undefined) continue;
            // Goes on with one that stands, where there is one.
            const standing = (await watcher.monitors()).length;
            const monitor = watcher.monitor(watched);
            await monitor.stored;
            for (const one of await watcher.monitors()) hold(from, one);
            assert.equal((await watcher.monitors()).length, standing + 1);
            add(owed, pair(from, to), 1);
          } else if (what === "ask") for (const one of (await (await here(from))?.monitors()) ?? []) hold(from, one);
          else if (what === "end") {
            const thread = await here(to);
            if (thread === undefined) continue;
            await thread.shutdown();
            await settled();
            // What it watched itself is let go.
            for (const at of [0, 1, 2]) {
              const own = pair(to, at);
              owed.set(own, told.get(own) ?? 0);
            }
          }
          for (const [key, times] of told) assert.ok(times <= (owed.get(key) ?? 0), `${key} was told ${times} times`);
        }
        await restart();
        for (const at of [0, 1, 2]) await r.manager.resumeThread(id(at));
        const all: { from: number; monitor: { ref: string; threadId: ThreadId; down: Promise<Down> } }[] = [];
        for (const from of [0, 1, 2])
          for (const monitor of await (await r.manager.getThread(id(from))).monitors()) all.push({ from, monitor });
        for (const { from, monitor } of all) hold(from, monitor);
        await settled();
        // Ends one after another: who watches is still there, or has let go.
        for (const to of [0, 1, 2]) {
          await (await r.manager.getThread(id(to))).shutdown();
          await settled();
          for (const from of [0, 1, 2]) {
            if (from > to)
              assert.equal(told.get(pair(from, to)) ?? 0, owed.get(pair(from, to)) ?? 0, `${from} of ${to}`);
          }
        }
        assert.deepEqual(await notesLeft(p), []);
      }),
      { numRuns: Number(process.env.SKEIN_WALKS ?? 20) },
    );
  });
});
