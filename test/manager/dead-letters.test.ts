/** SEMANTICS 2.6: a message that reaches nobody is told of, with why, and counted. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { call, type DeadLetter, newThreadId, tool } from "../../src/index.ts";
import { settled } from "../kernel/settled.ts";
import { rig, until } from "../rig.ts";

const hello = { type: "user_input" as const, items: [{ type: "text" as const, text: "hello" }] };
const shown = ({ to, id, message, why, count }: DeadLetter) => [to, id, message.type, why, count];

suite("dead letters", () => {
  test("SEMANTICS 2.6: every way to a thread that is not there, or is closed", async () => {
    await using r = await rig();
    const letters: DeadLetter[] = [];
    r.manager.deadLetters$.subscribe((letter) => letters.push(letter));
    const nobody = newThreadId();
    const { thread: closed } = await r.manager.startThread();
    await closed.shutdown();
    const control = r.manager.agentControl();
    const approval = { type: "exec_approval" as const, id: "call-1", decision: "approved" as const };
    const ways: [to: string, id: string | null, type: string, why: string, send: () => Promise<unknown>][] = [
      [nobody, "name-1", "user_input", "thread_not_found", () => r.manager.sendOp(nobody, hello, { id: "name-1" })],
      [nobody, null, "user_input", "thread_not_found", () => control.sendPrompt(nobody, "hello")],
      [closed.id, null, "user_input", "thread_closed", () => closed.submit(hello)],
      [closed.id, "name-2", "user_input", "thread_closed", () => closed.submitWithId({ id: "name-2", op: hello })],
      [closed.id, null, "user_input", "thread_closed", () => closed.run("hello")],
      [closed.id, null, "compact", "thread_closed", () => closed.compact()],
      [closed.id, null, "exec_approval", "thread_closed", () => closed.submit(approval)],
    ];
    for (const [, , , , send] of ways) await assert.rejects(send());
    assert.deepEqual(
      letters.map(shown),
      ways.map(([to, id, type, why], index) => [to, id, type, why, index + 1]),
    );
    assert.equal(r.manager.deadLetters.total, ways.length);
    assert.deepEqual(r.manager.deadLetters.recent, letters);
  });

  test("SEMANTICS 2.6: a late approval, a full mailbox, a manager that has closed; and nothing that was delivered or taken back", async () => {
    const deaf = tool({ name: "deaf", description: "", execute: () => new Promise(() => {}) });
    const r = await rig({ tools: [deaf], limits: { mailbox: 1 }, script: [[call("deaf")]] });
    const letters: DeadLetter[] = [];
    r.manager.deadLetters$.subscribe((letter) => letters.push(letter));
    const { thread } = await r.manager.startThread();
    await thread.submit(hello);
    await until(() => r.model.asked === 1);
    await settled();
    await assert.rejects(thread.submit({ type: "exec_approval", id: "call-1", decision: "approved" }));
    await thread.submit(hello);
    await assert.rejects(thread.submit(hello, { whenFull: "reject" }));
    await assert.rejects(r.manager.sendOp(thread.id, hello, { whenFull: "reject" }));
    const abort = new AbortController();
    const waiting = thread.submit(hello, { signal: abort.signal });
    await settled();
    abort.abort(new Error("never mind"));
    await assert.rejects(waiting, /never mind/);
    await r[Symbol.asyncDispose]();
    await assert.rejects(r.manager.sendOp(thread.id, hello));
    assert.deepEqual(
      letters.map(({ message, why }) => [message.type, why]),
      [
        ["exec_approval", "invalid_request"],
        ["user_input", "overloaded"],
        ["user_input", "overloaded"],
        ["user_input", "manager_closed"],
      ],
    );
  });

  test("only the newest are kept, and all are counted", async () => {
    await using r = await rig();
    const nobody = newThreadId();
    for (let n = 0; n < 250; n += 1) await assert.rejects(r.manager.sendOp(nobody, hello));
    const { total, recent } = r.manager.deadLetters;
    assert.deepEqual([total, recent.length, recent[0]?.count, recent.at(-1)?.count], [250, 100, 151, 250]);
  });
});
