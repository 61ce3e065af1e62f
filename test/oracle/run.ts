/**
 * Proves with the real Codex that it goes on with our threads and forks. Not part of `npm test`: installs Codex from npm
 * into `.cache/`. `node test/oracle/run.ts [version ...]`; `SKEIN_MUTATIONS=all` tries all changed rollouts, not 600.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { newThreadId, newTurnId, type ThreadId } from "../../src/protocol/ids.ts";
import { assistantMessage, userMessage } from "../../src/protocol/response-item.ts";
import type { RolloutItem, SessionMeta } from "../../src/protocol/rollout.ts";
import { verifyHome } from "../../src/store/file/care/verify.ts";
import { type FileStore, fileStore } from "../../src/store/file/file-store.ts";
import type { ThreadWriter } from "../../src/store/thread-store.ts";
import { ModelServer } from "../clients/model-server.ts";
import { mockProviderToml } from "../mock-provider.ts";
import { codexBinary } from "./codex-binary.ts";
import { CodexServer } from "./codex-server.ts";
import { oracleExports, oracleHistories } from "./histories.ts";
import { oracleLegacyForks } from "./legacy-forks.ts";
import { oracleManagerThread } from "./manager-thread.ts";
import { oracleMutatedRollouts } from "./mutated-rollouts.ts";
import { oraclePolicies } from "./policies.ts";
import { oracleSharedHome } from "./shared-home.ts";
import { wordsOf } from "./words.ts";

const say = (text: string): void => void process.stdout.write(`${text}\n`);

const meta = (cwd: string, fields: Partial<SessionMeta> = {}): SessionMeta => {
  const id = newThreadId();
  return {
    id,
    session_id: id,
    timestamp: new Date().toISOString(),
    cwd,
    originator: "skein",
    cli_version: "0.1.0",
    source: "vscode",
    model_provider: "mock",
    ...fields,
  };
};

/** The lines that a turn leaves in a paginated rollout. */
function turnItems(threadId: ThreadId, turnId: string, text: string, cwd: string): RolloutItem[] {
  const completed = (item: unknown): RolloutItem =>
    ({
      type: "event_msg",
      payload: { type: "item_completed", thread_id: threadId, turn_id: turnId, item },
    }) as RolloutItem;
  return [
    { type: "event_msg", payload: { type: "task_started", turn_id: turnId, started_at: 1 } },
    {
      type: "turn_context",
      payload: {
        turn_id: turnId,
        cwd,
        approval_policy: "never",
        sandbox_policy: { type: "danger-full-access" },
        model: "gpt-5.1-codex",
        summary: "auto",
      },
    },
    { type: "response_item", payload: userMessage(text) },
    completed({ type: "UserMessage", id: newTurnId(), content: [{ type: "text", text, text_elements: [] }] }),
    completed({ type: "AgentMessage", id: newTurnId(), content: [{ type: "Text", text: `re: ${text}` }] }),
    { type: "response_item", payload: assistantMessage(`re: ${text}`) },
    { type: "event_msg", payload: { type: "task_complete", turn_id: turnId, last_agent_message: `re: ${text}` } },
  ];
}

function addTurn(writer: ThreadWriter, text: string, cwd: string): string {
  const turnId = newTurnId();
  for (const item of turnItems(writer.threadId, turnId, text, cwd)) writer.append(item);
  return turnId;
}

/** Our history as the model would see it. */
async function ourWords(store: FileStore, threadId: ThreadId): Promise<string[]> {
  const input: { type: string }[] = [];
  for await (const page of store.load(threadId)) {
    for (const line of page) if (line.type === "response_item") input.push(line.payload);
  }
  return wordsOf({ input });
}

async function oracle169(binary: string): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "skein-oracle-"));
  const cwd = join(home, "work");
  mkdirSync(cwd);
  try {
    await using model = await ModelServer.listen();
    writeFileSync(join(home, "config.toml"), mockProviderToml(model.baseUrl));
    const store = fileStore({ home });
    const root = await store.create(meta(cwd));
    const turns = ["one", "two", "three"].map((text) => addTurn(root, text, cwd));
    await root.flush();
    const forkOf = async (source: ThreadId, at: Parameters<FileStore["forkBase"]>[1], ...texts: string[]) => {
      const base = await store.forkBase(source, at);
      assert.ok(base?.inherits);
      const writer = await store.fork(meta(cwd), base);
      for (const text of texts) addTurn(writer, text, cwd);
      await writer.close();
      return writer.threadId;
    };
    const middle = await forkOf(root.threadId, { beforeUserMessage: 2 }, "two and a half");
    const nested = await forkOf(middle, "full", "deeper");
    const across = await forkOf(nested, { throughTurn: turns[0] ?? "" }, "across");
    const bare = await forkOf(root.threadId, "full");
    await root.close();
    const doomed = await store.create(meta(cwd));
    addTurn(doomed, "kept for its fork", cwd);
    await doomed.close();
    const orphan = await forkOf(doomed.threadId, "full", "orphan");
    await store.delete(doomed.threadId);
    const ids = { root: root.threadId, middle, nested, across, bare, orphan };
    const expected = new Map<ThreadId, string[]>();
    for (const id of Object.values(ids)) expected.set(id, await ourWords(store, id));
    await store.close();

    {
      await using codex = await CodexServer.start(binary, home, cwd);
      const next = async (name: string, id: string, words: readonly string[]) => {
        await codex.turn(id, `next in ${name}`);
        const request = model.requests.at(-1);
        assert.ok(request);
        assert.deepEqual(wordsOf(request), [...words, `user: next in ${name}`], name);
        say(`ok: ${name}`);
      };
      for (const [name, id] of Object.entries(ids)) {
        const words = expected.get(id) ?? [];
        const fork = await codex.ask("thread/fork", { threadId: id, excludeTurns: true });
        await next(`0.169's fork of ${name}`, (fork as { thread: { id: string } }).thread.id, words);
      }
      for (const [name, id] of Object.entries(ids)) {
        await codex.ask("thread/resume", { threadId: id, excludeTurns: true });
        await next(`${name}, resumed by 0.169`, id, expected.get(id) ?? []);
        const read = await codex.ask("thread/turns/list", { threadId: id, limit: 100, sortDirection: "asc" });
        const count = (read as { data: unknown[] }).data.length;
        // Codex shows no turns of an archived base, though it sends them to the model: so of what we keep of deleted ones.
        const hidden = name === "orphan" ? 1 : 0;
        assert.equal(count, ((expected.get(id)?.length ?? 0) + 2) / 2 - hidden, `turns of ${name}`);
      }
      const at = await codex.ask("thread/fork", { threadId: ids.root, lastTurnId: turns[1], excludeTurns: true });
      await next(
        "0.169's fork at a turn",
        (at as { thread: { id: string } }).thread.id,
        (expected.get(ids.root) ?? []).slice(0, 4),
      );
    }

    const again = fileStore({ home });
    for (const [name, id] of Object.entries(ids)) {
      const words = await ourWords(again, id);
      const text = `next in ${name}, resumed by 0.169`;
      assert.deepEqual(words, [...(expected.get(id) ?? []), `user: ${text}`, `assistant: ack: ${text}`]);
      const writer = await again.open(id);
      addTurn(writer, "back here", cwd);
      await writer.close();
      say(`ok: ${name}, read and resumed by us after 0.169`);
    }
    assert.equal(again.problems.length, 0);
    await again.close();
    const { faults } = await verifyHome({ home });
    assert.deepEqual(faults, []);
    say("ok: the home verifies clean");
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** A flattened fork, in a home of its own. */
async function oracleLegacy(version: string, binary: string): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "skein-oracle-"));
  const cwd = join(home, "work");
  mkdirSync(cwd);
  try {
    await using model = await ModelServer.listen();
    writeFileSync(join(home, "config.toml"), mockProviderToml(model.baseUrl));
    const store = fileStore({ home: join(home, "ours") });
    const root = await store.create(meta(cwd));
    for (const text of ["one", "two"]) addTurn(root, text, cwd);
    const base = await store.forkBase(root.threadId, { beforeUserMessage: 1 });
    assert.ok(base);
    const fork = await store.fork(meta(cwd), base);
    addTurn(fork, "other", cwd);
    await fork.flush();
    const path = fork.rolloutPath?.replace(join(home, "ours"), home) ?? "";
    mkdirSync(dirname(path), { recursive: true });
    for await (const lines of store.export(fork.threadId, { format: "legacy" }))
      writeFileSync(path, lines, { flag: "a" });
    const words = await ourWords(store, fork.threadId);
    await store.close();

    await using codex = await CodexServer.start(binary, home, cwd);
    const listed = (await codex.ask("thread/list", { limit: 10 })) as { data: { id: string; preview: string }[] };
    assert.deepEqual(
      listed.data.map(({ id, preview }) => [id, preview]),
      [[fork.threadId, "one"]],
    );
    await codex.ask("thread/resume", { threadId: fork.threadId });
    await codex.turn(fork.threadId, "next");
    const request = model.requests.at(-1);
    assert.ok(request);
    assert.deepEqual(wordsOf(request), [...words, "user: next"]);
    say(`ok: a flattened fork, listed and resumed by ${version}`);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

const asked = process.argv.slice(2);
for (const version of asked.length > 0 ? asked : ["0.171.0", "0.169.0", "0.87.0", "0.80.0"]) {
  const binary = codexBinary(version);
  if (binary === undefined) {
    say(`skipped: no Codex ${version} for this machine`);
    continue;
  }
  if (/^0\.1[67]/.test(version)) {
    await oracle169(binary);
    await oracleManagerThread(binary);
    say(`ok: a thread that a manager ran, with a tool, an interrupt and a rollback, forked and resumed by ${version}`);
    await oracleLegacyForks(binary);
    say(`ok: forks of legacy threads, of forks and after a rollback, forked and resumed by ${version}`);
    await oraclePolicies(binary);
    say(`ok: threads of every sandbox and approval policy, from ${version} to us and back`);
    const compared = await oracleHistories(binary);
    say(`ok: ${compared} threads and forks, ours and Codex's, told to the model alike by ${version} and us`);
    say(`ok: a home of ${await oracleSharedHome(binary)} threads, used by ${version} and us in turn, verifies clean`);
    const { tried, differ } = await oracleMutatedRollouts(binary, say);
    assert.equal(differ, 0, `${version} goes on with more than we do`);
    say(`ok: ${tried} rollouts with one field changed go on here wherever they do in ${version}`);
  }
  await oracleLegacy(version, binary);
  if (/^0\.8/.test(version))
    say(`ok: ${await oracleExports(binary)} exported threads and forks, gone on with by ${version} as by us`);
}
