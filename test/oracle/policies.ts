/** Proves that threads of every sandbox and approval policy go on in both directions: Codex's in ours, and ours in Codex. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileStore, scriptedClient, ThreadManager } from "../../src/index.ts";
import type { AskForApproval, SandboxMode } from "../../src/protocol/policy.ts";
import { ModelServer } from "../clients/model-server.ts";
import { mockProviderToml } from "../mock-provider.ts";
import { CodexServer } from "./codex-server.ts";
import { wordsOf } from "./words.ts";

const SANDBOXES: readonly SandboxMode[] = ["read-only", "workspace-write", "danger-full-access"];
/** Since 0.169 no configuration may say `untrusted`. */
const APPROVALS: readonly AskForApproval[] = ["on-request", "never"];

const SAID = "said here";

type Started = { thread: { id: string } };

async function runHere(home: string, cwd: string, sandbox: SandboxMode, approvalPolicy: AskForApproval, id?: string) {
  const model = scriptedClient(undefined, { recordRequests: 10 });
  const store = fileStore({ home });
  const config = { cwd, modelProvider: "mock", sandboxMode: sandbox, approvalPolicy };
  const manager = await ThreadManager.create({ store, model, config });
  const { thread, threadId } = id === undefined ? await manager.startThread() : await manager.resumeThread(id, config);
  const outcome = await thread.run(SAID);
  assert.equal(outcome.status, "completed", JSON.stringify(outcome));
  await manager.shutdown();
  await store.close();
  assert.deepEqual(store.problems, []);
  const input = model.requests.at(-1)?.input ?? [];
  return { threadId, words: [...wordsOf({ input }), `assistant: ack: ${SAID}`] };
}

/** @throws when either goes on with another history than the other had, or not at all */
export async function oraclePolicies(binary: string): Promise<void> {
  for (const sandbox of SANDBOXES) {
    for (const approval of APPROVALS) {
      const home = mkdtempSync(join(tmpdir(), "skein-oracle-"));
      const cwd = join(home, "work");
      mkdirSync(cwd);
      try {
        await using model = await ModelServer.listen();
        const toml = mockProviderToml(model.baseUrl)
          .replace('approval_policy = "never"', `approval_policy = "${approval}"`)
          .replace('sandbox_mode = "danger-full-access"', `sandbox_mode = "${sandbox}"`);
        writeFileSync(join(home, "config.toml"), toml);
        const theirs = await (async () => {
          await using codex = await CodexServer.start(binary, home, cwd);
          const { thread } = (await codex.ask("thread/start", { cwd })) as Started;
          await codex.turn(thread.id, "said there");
          return thread.id;
        })();
        const ours = await runHere(home, cwd, sandbox, approval);
        const resumed = await runHere(home, cwd, sandbox, approval, theirs);
        const whole = ["user: said there", "assistant: ack: said there", `user: ${SAID}`, `assistant: ack: ${SAID}`];
        assert.deepEqual(resumed.words, whole);
        await using codex = await CodexServer.start(binary, home, cwd);
        for (const { threadId, words } of [ours, resumed]) {
          await codex.ask("thread/resume", { threadId, excludeTurns: true });
          await codex.turn(threadId, "and there");
          const request = model.requests.at(-1);
          assert.ok(request);
          assert.deepEqual(wordsOf(request), [...words, "user: and there"]);
        }
      } finally {
        rmSync(home, { recursive: true, force: true });
      }
    }
  }
}
