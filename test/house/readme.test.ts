import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "../..");
let folder: string;
let blocks: string[];

// Inside the package, so that `import "skein"` finds it by its own name, as it was built.
before(async () => {
  folder = await mkdtemp(join(root, "test/house/readme-"));
  const readme = await readFile(join(root, "README.md"), "utf8");
  blocks = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1] ?? "");
});
after(() => rm(folder, { recursive: true, force: true }));

const blockWith = (text: string): string => {
  const block = blocks.find((candidate) => candidate.includes(text));
  assert.ok(block, `README has no js block with ${text}`);
  return block;
};

async function run(name: string, source: string): Promise<string[]> {
  const file = join(folder, name);
  await writeFile(file, source);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--no-warnings", file], { timeout: 30_000 });
  assert.equal(stderr, "");
  return stdout.trim().split("\n");
}

test("the embedding example runs as written", async () => {
  const lines = await run("embed.mjs", blockWith("thread.run("));
  assert.equal(lines[0], "1 raw_response_item");
  assert.ok(lines.includes("2 + 3 is 5."));
  assert.ok(lines.includes("ack: And now?"));
  assert.equal(lines.filter((line) => line.endsWith(" task_complete")).length, 1);
  assert.match(lines.join(" "), /completed: \[.*failed: \[\],\s+timedOut: \[\]/s);
});

test("the approval example runs as written", async () => {
  const lines = await run("approve.mjs", blockWith("exec_approval_request"));
  assert.deepEqual(lines, ["asked: node --version > made.txt", "Made it."]);
});

test("the message-passing example runs as written, after a manager is there", async () => {
  const manager =
    'import { memoryStore, ThreadManager } from "skein";\nconst manager = await ThreadManager.create({ store: memoryStore() });\n';
  assert.deepEqual(await run("messages.mjs", manager + blockWith("manager.supervisor.send")), ["true"]);
});

test("the thread logic example runs as written", async () => {
  const use = `
    import { memoryStore, ThreadManager } from "skein";
    const manager = await ThreadManager.create({ store: memoryStore(), threadLogic: echo });
    const { thread, sessionConfigured } = await manager.startThread();
    await thread.submit({ type: "compact" });
    console.log(sessionConfigured.type, JSON.stringify(await thread.nextEvent()));
    process.exit(0);
  `;
  assert.deepEqual(await run("logic.mjs", blockWith("fromCallback") + use), [
    'session_configured {"id":"0","msg":{"type":"agent_message","message":"got compact"}}',
  ]);
});
