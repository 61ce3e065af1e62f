/** Forks of one place share what they inherit: what the model is told is the same as if each had read it. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { ForkAnchor, ThreadConfig, ThreadId } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { assistantMessage, functionCallOutput, userMessage } from "../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import { answer, compacted, header, rolledBack, storedThread, user } from "../../src/store/contract/store-script.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { LiveThread } from "../../src/thread/live-thread.ts";
import { overlaid, rig } from "../rig.ts";

const call = (id: string): RolloutItem => ({
  type: "response_item",
  payload: { type: "function_call", call_id: id, name: "f", arguments: "{}" },
});
const output = (id: string): RolloutItem => ({ type: "response_item", payload: functionCallOutput(id, "out") });
const summedUp = (text: string): RolloutItem => ({
  type: "compacted",
  payload: { message: text, replacement_history: [userMessage("kept"), userMessage(text), assistantMessage("ok")] },
});

const ID = fc.constantFrom("c1", "c2");
const TEXT = fc.constantFrom("one", "two", "three");
const ITEM: fc.Arbitrary<RolloutItem> = fc.oneof(
  { weight: 4, arbitrary: TEXT.map(user) },
  { weight: 3, arbitrary: TEXT.map(answer) },
  ID.map(call),
  ID.map(output),
  fc.integer({ min: 1, max: 3 }).map(rolledBack),
  TEXT.map(compacted),
  TEXT.map(summedUp),
);
const AT: fc.Arbitrary<ForkAnchor> = fc.oneof(
  fc.constant<ForkAnchor>("full"),
  fc.nat(4).map((n) => ({ beforeUserMessage: n })),
);

/** What the model is asked first in a fork. */
async function asked(r: Awaited<ReturnType<typeof rig>>, from: string, at: ForkAnchor, config: ThreadConfig) {
  const { thread } = await r.manager.forkThread({ from, at, config });
  await thread.run("NOW");
  return r.model.requests.at(-1)?.input;
}

/** What the model would be told of a thread that comes to the manager, is read ahead, and is given away again. */
async function toldOnVisit({ manager }: Awaited<ReturnType<typeof rig>>, threadId: ThreadId): Promise<unknown> {
  const { thread } = await manager.resumeThread(threadId);
  assert.ok(thread instanceof LiveThread);
  const { incarnation } = thread;
  await incarnation.readAhead(AbortSignal.timeout(10_000));
  const told = incarnation.history?.forModel();
  await runtimeOf(manager)?.giveAway(threadId);
  return told;
}

suite("what a thread is told that comes back", () => {
  test("is what it would be told where nobody knows it, whatever was said elsewhere", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(ITEM, { maxLength: 6 }), { minLength: 2, maxLength: 5 }), async (visits) => {
        const store = memoryStore();
        const made = await store.create(header());
        const { threadId } = made;
        await made.close();
        await using keeping = await rig({ store });
        for (const items of visits) {
          const writer = await store.open(threadId);
          for (const item of items) writer.append(item);
          await writer.close();
          await using alone = await rig({ store });
          assert.deepEqual(await toldOnVisit(keeping, threadId), await toldOnVisit(alone, threadId));
        }
      }),
      { numRuns: 60 },
    );
  });

  test("is read once, and then only what was said meanwhile; where what stood last is another line now, anew", async () => {
    let lines = 0;
    const inner = memoryStore();
    const counted: Partial<ThreadStore> = {
      async *load(locator, range) {
        for await (const page of inner.load(locator, range)) {
          // Of what is read for the model alone: of events, few are.
          if (range?.wants?.("event_msg", "task_started") === false) lines += page.length;
          yield page;
        }
      },
    };
    const store = overlaid<ThreadStore>(inner, counted);
    const meta = header();
    const fill = async (text: string, count: number) => {
      const writer = await inner.create(meta);
      for (let n = 0; n < count; n += 1) writer.append(user(`${text} ${n}`));
      await writer.close();
    };
    await fill("old", 100);
    await using r = await rig({ store });
    await toldOnVisit(r, meta.id);
    lines = 0;
    const writer = await inner.open(meta.id);
    writer.append(answer("meanwhile"));
    await writer.close();
    assert.match(JSON.stringify(await toldOnVisit(r, meta.id)), /old 99.*meanwhile/);
    assert.ok(lines < 5, String(lines));
    await inner.delete(meta.id);
    await fill("put back", 200);
    const told = JSON.stringify(await toldOnVisit(r, meta.id));
    assert.match(told, /put back 0.*put back 199/);
    assert.doesNotMatch(told, /old|meanwhile/);
  });
});

suite("what forks inherit", () => {
  test("is told alike, whether the fork has read it or shares it", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(ITEM, { maxLength: 14 }),
        fc.array(AT, { minLength: 1, maxLength: 3 }),
        async (items, places) => {
          const store = memoryStore();
          const writer = await store.create(header());
          for (const item of items) writer.append(item);
          await writer.close();
          await using sharing = await rig({ store });
          for (const at of places) {
            await using alone = await rig({ store });
            const [first, second] = [{ userInstructions: "first" }, { userInstructions: "second" }];
            await asked(sharing, writer.threadId, at, first);
            assert.deepEqual(
              await asked(sharing, writer.threadId, at, second),
              await asked(alone, writer.threadId, at, second),
            );
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("is read by the first of them alone", async () => {
    let lines = 0;
    const inner = memoryStore();
    const counted: Partial<ThreadStore> = {
      async *load(locator, range) {
        for await (const page of inner.load(locator, range)) {
          lines += page.length;
          yield page;
        }
      },
    };
    const { id } = await storedThread(
      inner,
      Array.from({ length: 200 }, (_, n) => `m${n}`),
    );
    await using r = await rig({ store: overlaid<ThreadStore>(inner, counted) });
    const at = { beforeUserMessage: 150 };
    await asked(r, id, at, {});
    assert.ok(lines > 300, String(lines));
    lines = 0;
    await asked(r, id, at, {});
    assert.ok(lines < 10, String(lines));
  });

  test("of a thread that was deleted and made anew under its id is another's", async () => {
    const store = memoryStore();
    const meta = header();
    const fill = async (text: string, timestamp: string) => {
      const writer = await store.create({ ...meta, timestamp });
      writer.append(user(text));
      writer.append(answer("so"));
      await writer.close();
    };
    await fill("old", "2026-01-02T03:04:05.000Z");
    await using r = await rig({ store });
    const told = async () => JSON.stringify(await asked(r, meta.id, "full", {}));
    assert.match(await told(), /"old"/);
    for (const thread of await store.descendants(meta.id)) {
      await r.manager.removeThread(thread);
      await store.delete(thread);
    }
    await store.delete(meta.id);
    await fill("new", "2026-01-02T03:04:06.000Z");
    const after = await told();
    assert.match(after, /"new"/);
    assert.doesNotMatch(after, /"old"/);
  });
});
