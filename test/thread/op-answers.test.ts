/** Ops that are answered beside turns: of which folders skills are listed, and that nothing is said of a turn that runs. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hang } from "../../src/model/script.ts";
import { next, rig, until } from "../rig.ts";

suite("an op that is answered at once", () => {
  const folders: [cwds: string[] | undefined, listed: string[]][] = [
    [undefined, ["/work"]],
    [[], ["/work"]],
    [["/a"], ["/a"]],
    [
      ["/a", "/b"],
      ["/a", "/b"],
    ],
  ];
  for (const [cwds, listed] of folders) {
    test(`list_skills of ${JSON.stringify(cwds)} lists those of ${listed}`, async () => {
      await using r = await rig();
      const { thread } = await r.manager.startThread();
      const answer = next(thread, "list_skills_response");
      await thread.submit({ type: "list_skills", ...(cwds && { cwds }) });
      const { skills } = (await answer).msg as unknown as { skills: { cwd: string }[] };
      assert.deepEqual(
        skills.map(({ cwd }) => cwd),
        listed,
      );
    });
  }

  test("input without items is over at once, and says nothing of the turn that runs", async () => {
    await using r = await rig({ script: [[hang()]] });
    const { thread } = await r.manager.startThread();
    const run = thread.run("go");
    await until(() => r.model.asked === 1);
    const over = next(thread, "task_complete");
    const id = await thread.submit({ type: "user_input", items: [] });
    assert.equal((await over).id, id);
    assert.deepEqual([thread.status, thread.activeTurn !== undefined], ["running", true]);
    await thread.interrupt();
    assert.equal((await run).status, "interrupted");
    assert.notEqual(thread.status, "running");
  });
});
