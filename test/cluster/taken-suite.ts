/** What a worker has taken of a running turn, and acknowledged, counts though that worker ends at once: the next one takes all of it again, in its order. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import * as z from "zod";
import type { Cluster, ClusterThread } from "../../src/cluster/index.ts";
import {
  call,
  hang,
  type ModelRequest,
  memoryStore,
  newThreadId,
  type Step,
  say,
  scriptedClient,
  type ThreadManagerOptions,
  tool,
} from "../../src/index.ts";
import { latch, overlaid } from "../rig.ts";
import { endEngine, type TestCluster, testCluster } from "./two-workers.ts";
import { until } from "./until.ts";

const AGENTS = "multi_agent_v1";
const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

/** What the tool has been called for; it answers once the gate is open. */
const repeats: string[] = [];
let gate = latch();
const repeated = tool({
  name: "repeated",
  description: "Asks first, and may be called again.",
  input: z.object({ what: z.string() }),
  approval: "always",
  idempotent: true,
  async execute({ what }) {
    repeats.push(what);
    await gate.opened;
    return `did ${what}`;
  },
});
/** Models give ids again. */
const repeat = (what: string): Step[] => [call("repeated", { what }, { callId: "one" })];

/** Starts an agent for the message, and waits for what the user says. */
function lead(texts: string, message: string): Step[] {
  if (!texts.includes('"function_call_output"'))
    return [call("spawn_agent", { message }, { callId: "spawn", namespace: AGENTS })];
  return texts.includes("and more") ? [say("with more")] : [hang()];
}

function answer({ input: items }: ModelRequest): Step[] {
  const texts = JSON.stringify(items);
  if (texts.includes("lead")) return lead(texts, texts.includes("lead one that repeats") ? "repeat it" : "be quick");
  if (texts.includes("repeat it")) {
    if (!texts.includes("did first")) return repeat("first");
    return texts.split('"function_call_output"').length > 2 ? [say("done")] : repeat("second");
  }
  if (texts.includes("and more")) return [say("with more")];
  return texts.includes("wait here") ? [hang()] : [say("at once")];
}

const office: ThreadManagerOptions = {
  ...{ model: scriptedClient(answer), tools: [repeated] },
  config: { cwd: "/tmp", messages: { news: z.object({ text: z.string() }) } },
};

/** The worker that all runs on ends at once; meanwhile something may be done, and another one goes on. */
async function replace({ places, balancer, add }: TestCluster, meanwhile?: () => Promise<void>): Promise<void> {
  balancer.targets.splice(0);
  await places.at(-1)?.worker.close({ deadlineMs: 0 });
  await meanwhile?.();
  await add();
}

const loadedIn = ({ places }: TestCluster, { id }: ClusterThread) =>
  until(() => places.at(-1)?.manager.loadedThread(id), 30_000);

/** A thread whose turn has started an agent and waits. */
async function leading(threads: Cluster, text: string) {
  const { thread } = await threads.startThread({ builtInTools: ["multi_agent"] });
  const told = Promise.withResolvers<ClusterThread>();
  threads.agents$.subscribe(({ thread: agent }) => told.resolve(agent));
  thread.events$.subscribe(() => undefined);
  const turn = thread.run(text);
  const agent = await told.promise;
  agent.events$.subscribe(() => undefined);
  return { thread, turn, agent };
}

suite("what a worker has taken", { timeout: 240_000 }, () => {
  after(endEngine);

  test("a turn that has used a budget up, and is over, is not refused", async () => {
    await using cluster = await testCluster(memoryStore(), office, { workers: 1 });
    const { thread } = await cluster.connect().startThread({ budget: { turns: 1 } });
    const turn = thread.run("wait here");
    // It keeps the thread where it is after the turn's end.
    await thread.submit({ type: "run_user_shell_command", command: "sleep 60" });
    await thread.submit(input("and more"));
    await until(async () => typeof (await loadedIn(cluster, thread)).status === "object");
    await replace(cluster);
    assert.equal((await turn).lastAgentMessage, "with more");
  });

  test("a command of the user's runs once", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "skein-taken-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await using cluster = await testCluster(memoryStore(), office, { workers: 1 });
    const { thread } = await cluster.connect().startThread({ cwd: folder });
    const turn = thread.run("wait here");
    await thread.submit({ type: "run_user_shell_command", command: "echo ran >> runs; sleep 60" });
    const runs = () => readFile(join(folder, "runs"), "utf8").catch(() => undefined);
    await until(runs);
    await replace(cluster);
    await loadedIn(cluster, thread);
    await thread.submit(input("and more"));
    assert.equal((await turn).status, "completed");
    assert.equal(await runs(), "ran\n");
  });

  test("servers that an op has given last as long as the turn", async () => {
    await using cluster = await testCluster(memoryStore(), office, { workers: 1 });
    const { thread } = await cluster.connect().startThread();
    const turn = thread.run("wait here");
    const config = {
      mcp_servers: { late: { command: "true", enabled: false } },
      mcp_oauth_credentials_store_mode: null,
    };
    await thread.submit({ type: "refresh_mcp_servers", config });
    const servers = async () => Object.keys((await loadedIn(cluster, thread)).config.mcpServers);
    assert.deepEqual(await servers(), ["late"]);
    await replace(cluster);
    await until(async () => (await servers()).includes("late"));
    await thread.submit(input("and more"));
    assert.equal((await turn).status, "completed");
  });

  test("of settings those hold that were given last, and are noted one after the other", async () => {
    const inner = memoryStore();
    const { notes } = inner;
    assert.ok(notes);
    const log: string[] = [];
    const write: typeof notes.write = async (...note) => {
      const model = /"config":{[^{}]*"model":"(one|two)"/.exec(JSON.stringify(note))?.[1] ?? "none";
      log.push(`${model} begins`);
      for (let turns = 0; turns < 5; turns += 1) await new Promise((resolve) => setImmediate(resolve));
      await notes.write(...note);
      log.push(`${model} is written`);
    };
    const store = overlaid(inner, { notes: overlaid(notes, { write }) });
    await using cluster = await testCluster(store, office, { workers: 1 });
    const { thread } = await cluster.connect().startThread();
    const turn = thread.run("wait here");
    const settings = { cwd: "/", approval_policy: "untrusted", sandbox_policy: { type: "read-only" } } as const;
    const { items } = input("wait here as well");
    await thread.submit({ type: "user_turn", items, ...settings, model: "one", summary: "concise" });
    await thread.submit({ type: "override_turn_context", model: "two" });
    await thread.setPriority(4);
    await thread.setPriority(2);
    await replace(cluster, async () => void log.splice(0));
    await thread.submit(input("and more"));
    await turn;
    const begins = log.indexOf("one begins");
    assert.ok(begins >= 0);
    assert.equal(log[begins + 1], "one is written", String(log));
    const { model, priority, cwd } = (await cluster.connect().getThread(thread.id)).config;
    assert.deepEqual([model, priority, cwd], ["two", 2, "/"]);
  });

  test("an approval is given to the call that it was meant for, and to no later one of its id", async () => {
    gate = latch();
    repeats.length = 0;
    await using cluster = await testCluster(memoryStore(), office, { workers: 1 });
    const { thread } = await cluster.connect().startThread();
    thread.events$.subscribe(() => undefined);
    const turn = thread.run("repeat it");
    const asked = (what: string) =>
      until(async () =>
        (await loadedIn(cluster, thread)).pendingApprovals.find(({ msg }) => JSON.stringify(msg).includes(what)),
      );
    await asked("first");
    await thread.submit({ type: "exec_approval", id: "one", decision: "approved" });
    await until(() => repeats.length === 1);
    await replace(cluster);
    await until(() => repeats.length === 2);
    gate.open();
    await asked("second");
    await replace(cluster);
    await asked("second");
    await thread.submit({ type: "exec_approval", id: "one", decision: "denied" });
    assert.equal((await turn).status, "completed");
    assert.deepEqual(repeats, ["first", "first"]);
  });

  for (const through of ["it", "its parent"]) {
    test(`an agent's approval that ${through} was told is not asked for again`, async () => {
      gate = latch();
      repeats.length = 0;
      await using cluster = await testCluster(memoryStore(), office, { workers: 1 });
      const { thread, turn, agent } = await leading(cluster.connect(), "lead one that repeats it");
      await until(() => agent.pendingApprovals[0]);
      const to = through === "it" ? agent : thread;
      await to.submit({ type: "exec_approval", id: "one", decision: "approved" });
      await until(() => repeats.length === 1);
      await replace(cluster);
      await until(() => repeats.length === 2);
      await thread.submit(input("and more"));
      assert.equal((await turn).status, "completed");
    });
  }

  test("an agent that is at rest is given its mail, and keeps its priority", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, office, { workers: 1 });
    const { thread, turn, agent } = await leading(cluster.connect(), "lead one");
    await until(() => typeof agent.status === "object");
    await agent.setPriority(2);
    const message = { type: "news", text: "of the day" };
    const letter = { id: newThreadId(), from: null, message, topic: null, sentAt: 0, attempts: 0 };
    // As a worker leaves it that dies once it has stored the message.
    await replace(cluster, async () => store.notes?.write(agent.id, "mail", { waiting: [letter], setAside: [] }));
    await until(async () => {
      let lines = "";
      for await (const page of store.load(agent.id)) lines += JSON.stringify(page);
      return lines.includes("of the day");
    });
    await thread.submit(input("and more"));
    assert.equal((await turn).status, "completed");
    assert.equal((await cluster.connect().getThread(agent.id)).config.priority, 2);
  });
});
