/** A turn whose machine breaks, which nothing outside can make it do: it ends all the same, and loses nothing (T4). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hang } from "../../src/model/script.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { abandonTurn } from "../../src/turn/turn-actors.ts";
import { linesOf, rig, until, watch } from "../rig.ts";
import { slowFile } from "./slow-files.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

test("its error is told, it has one end, and what was said into it is kept", async () => {
  await using r = await rig({ script: () => [hang()] });
  const { thread } = await r.manager.startThread();
  const seen = watch(thread);
  const run = thread.run("first");
  await until(() => r.model.requests.length === 1);
  await thread.submit(input("said into it"));
  const { incarnation } = thread as LiveThread;
  abandonTurn(incarnation, new Error("a defect"));
  const { status, error } = await run;
  assert.equal(status, "failed");
  assert.match(error?.message ?? "", /a defect/);
  const told = seen.filter(({ msg }) => msg.type === "error" && msg.message.includes("a defect"));
  const ends = seen.filter(({ msg }) => msg.type === "task_complete" || msg.type === "turn_aborted");
  assert.deepEqual([told.length, ends.length], [1, 1]);
  await thread.shutdown();
  const items = (await linesOf(r.store, thread.id)).filter(({ type }) => type === "response_item");
  assert.match(JSON.stringify(items), /said into it/);
});

test("a thread that ends at once tells of what was said into its turn and could not be read so fast", async (t) => {
  await using r = await rig({ script: () => [hang()] });
  const { thread } = await r.manager.startThread();
  const seen = watch(thread);
  const run = thread.run("first");
  await until(() => r.model.requests.length === 1);
  const { path, release } = slowFile(t);
  const id = await thread.submit({ type: "user_input", items: [{ type: "local_image", path }] });
  const quick = await thread.submit(input("said into it"));
  (thread as LiveThread).incarnation.end("killed");
  await run.catch(() => undefined);
  release();
  const told = (of: string) =>
    seen.flatMap((event) => (event.id === of && event.msg.type === "error" ? [event.msg.message] : []));
  assert.deepEqual([told(id), told(quick)], [["the thread has ended"], []]);
});
