/** Trees of agents: names, what is shown of them, how they end, and who is waited for. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import {
  type AgentNode,
  hang,
  InvalidRequestError,
  newThreadId,
  StoreIoError,
  say,
  ThreadClosedError,
  ThreadNotFoundError,
} from "../../src/index.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { settled } from "../kernel/settled.ts";
import { overlaid, type Rig, rig, until } from "../rig.ts";

const shape = ({ path, state, children }: AgentNode): unknown => [path, state, ...children.map(shape)];

async function family(r: Rig) {
  const { threadId: root } = await r.manager.startThread();
  const start = async (parentThreadId: string, agent = {}) =>
    (await r.manager.startThread(undefined, { parentThreadId: parentThreadId as never, agent })).threadId;
  const a = await start(root, { role: "researcher" });
  const b = await start(root, { name: "writer" });
  const a1 = await start(a);
  const a2 = await start(a);
  return { root, a, b, a1, a2, start };
}

suite("trees of agents", () => {
  test("a store that fails is told as that: it has not said that there is no such thread", async () => {
    const store = memoryStore();
    const first = await rig({ store });
    const { root, a } = await family(first);
    await first.manager.shutdown();
    const failing = new Set<unknown>();
    const header = async (thread: unknown) => {
      if (failing.has(thread)) throw new StoreIoError("the disk is away");
      return store.header(thread as never);
    };
    await using r = await rig({ store: overlaid(store, { header }) });
    for (const thread of [root, a]) {
      failing.clear();
      failing.add(thread);
      await assert.rejects(r.manager.tree(root), { code: "store_io", message: /the disk is away/ });
    }
    failing.clear();
    await assert.rejects(r.manager.tree(newThreadId()), ThreadNotFoundError);
  });

  test("SEMANTICS 7.1 and 7.2: paths and names, shown as tree and list, the same after a restart of the process", async () => {
    const store = memoryStore();
    const r = await rig({ store });
    const { root, a, b, a1, a2, start } = await family(r);
    const control = r.manager.agentControl();
    const expected = (states: Record<string, string>, ...rest: unknown[]) => [
      "/root",
      states.root,
      [
        "/root/researcher-1",
        states.a,
        ["/root/researcher-1/agent-1", states.a1],
        ["/root/researcher-1/agent-2", states.a2],
      ],
      ["/root/writer", states.b],
      ...rest,
    ];
    const all = (state: string) => ({ root: state, a: state, b: state, a1: state, a2: state });
    assert.deepEqual(shape(await r.manager.tree(root)), expected(all("loaded")));
    assert.deepEqual((await r.manager.tree()).map(shape), [expected(all("loaded"))]);
    assert.deepEqual(
      (await control.list(root)).map(({ threadId, depth, parent }) => [threadId, depth, parent]),
      [
        [root, 0, null],
        [a, 1, root],
        [a1, 2, a],
        [a2, 2, a],
        [b, 1, root],
      ],
    );
    assert.deepEqual(await control.tree(root), await r.manager.tree(root));
    assert.deepEqual(control.capacity(), r.manager.capacity());
    await assert.rejects(start(root, { name: "writer" }), InvalidRequestError);
    await assert.rejects(start(root, { name: "a/b" }), InvalidRequestError);
    await assert.rejects(r.manager.tree(newThreadId()), ThreadNotFoundError);
    await (await r.manager.getThread(a1)).shutdown();
    assert.deepEqual(shape(await r.manager.tree(root)), expected({ ...all("loaded"), a1: "stored" }));
    await r[Symbol.asyncDispose]();
    await using later = await rig({ store });
    assert.deepEqual(shape(await later.manager.tree(root)), expected(all("stored")));
    await later.manager.resumeThread(a2);
    assert.deepEqual(shape(await later.manager.tree(root)), expected({ ...all("stored"), a2: "loaded" }));
    assert.deepEqual(
      (await later.manager.tree()).map(({ path }) => path),
      ["/root/researcher-1/agent-2"],
    );
    const next = await later.manager.startThread(undefined, { parentThreadId: a });
    const [info] = await later.manager.agentControl().list(next.threadId);
    assert.equal(info?.path, "/root/researcher-1/agent-3", "numbers go on after those that came back");
  });

  test("SEMANTICS 7.4: children before parents, the last started first, and nobody comes in meanwhile", async () => {
    await using r = await rig();
    const { root, a, b, a1, a2, start } = await family(r);
    const closed: string[] = [];
    const late: Promise<unknown>[] = [];
    r.manager.threadClosed$.subscribe(({ threadId }) => {
      closed.push(threadId);
      if (closed.length === 1) late.push(start(root), start(a1));
    });
    const refused = Promise.allSettled(late);
    const report = await r.manager.shutdownTree(root);
    assert.deepEqual(closed, [b, a2, a1, a, root]);
    assert.deepEqual(report, { completed: [b, a2, a1, a, root], failed: [], timedOut: [] });
    await refused;
    for (const one of late) await assert.rejects(one, ThreadClosedError);
    await assert.rejects(r.manager.shutdownTree(root), ThreadNotFoundError);
    assert.equal(r.manager.capacity().residentThreads.used, 0);
  });

  test("SEMANTICS 7.4: those under one that has gone end as well", async () => {
    await using r = await rig();
    const { root, a, b, a1, a2 } = await family(r);
    await (await r.manager.getThread(a)).shutdown();
    const report = await r.manager.shutdownTree(root);
    assert.deepEqual(report.completed, [b, a2, a1, root]);
    assert.equal(r.manager.capacity().residentThreads.used, 0);
  });

  test("SEMANTICS 7.4: one that hangs leaves time to the others, and is named; those out of memory are not loaded for it", async () => {
    const deaf = fromCallback<{ type: string; msg?: object }>(({ receive, emit }) =>
      receive(({ type, msg }) => {
        if (type === "session.configure")
          (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
        else
          (emit as (event: object) => void)({
            type: "task_started",
            id: "1",
            msg: { type: "task_started", turn_id: "1" },
          });
      }),
    );
    await using r = await rig({ logics: { deaf }, residency: { unloadAfterMs: 1_000 } });
    const { threadId: root } = await r.manager.startThread();
    const { threadId: away } = await r.manager.startThread(undefined, { parentThreadId: root });
    const { threadId: stuck, thread } = await r.manager.startThread({ logic: "deaf" }, { parentThreadId: root });
    await thread.submit({ type: "user_input", items: [{ type: "text", text: "work" }] });
    await r.clock.advanceAsync(5_000);
    assert.equal((await r.manager.tree(away)).state, "unloaded");
    let epochs = 0;
    r.manager.threadCreated$.subscribe(() => {
      epochs += 1;
    });
    const ending = r.manager.agentControl().shutdownTree(root, { deadlineMs: 1_000 });
    await r.clock.advanceAsync(2_000);
    const report = await ending;
    assert.deepEqual(report, { completed: [away, root], failed: [], timedOut: [stuck] });
    assert.equal(epochs, 0);
  });

  test("SEMANTICS 7.8: any, all or so many are waited for", async () => {
    await using r = await rig({
      script: (request) => (JSON.stringify(request.input).includes("stay") ? [hang()] : [say("done")]),
    });
    const control = r.manager.agentControl();
    const spawn = (prompt: string) => control.spawnAgent({}, prompt);
    const ids = [await spawn("stay"), await spawn("go"), await spawn("go"), await spawn("stay")];
    const final = async (mode?: "any" | "all" | number) => {
      const waiting = control.waitFor(ids, { mode, deadlineMs: 1_000 });
      await settled();
      await r.clock.advanceAsync(1_000);
      const { status, timedOut } = await waiting;
      return [Object.keys(status).length, timedOut];
    };
    await until(() => r.model.asked === 4);
    await settled();
    assert.deepEqual(await final(), [2, false]);
    assert.deepEqual(await final(2), [2, false]);
    assert.deepEqual(await final(3), [2, true]);
    assert.deepEqual(await final("all"), [2, true]);
    const all = control.waitFor(ids, { mode: "all", deadlineMs: 10_000 });
    await settled();
    for (const id of ids) await control.shutdownAgent(id);
    assert.equal(Object.keys((await all).status).length, 4);
    for (const mode of [0, 5, 1.5, "some"] as never[])
      await assert.rejects(control.waitFor(ids, { mode }), InvalidRequestError);
  });
});
