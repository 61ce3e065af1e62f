import assert from "node:assert/strict";
import { test } from "node:test";
import type { ThreadId } from "../../src/index.ts";
import { Nicknames } from "../../src/manager/nicknames.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { TurnAgents } from "../../src/manager/turn-agents.ts";
import { newTurnId } from "../../src/protocol/ids.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { rig } from "../rig.ts";

test("no name comes twice in a tree; when all are used up they come again with their number", () => {
  const names = new Nicknames(() => 0);
  const first = names.next("tree");
  names.note("tree", "Zaire");
  const lap = [first];
  for (let name = names.next("tree"); !name.includes(" the "); name = names.next("tree")) lap.push(name);
  assert.equal(new Set(lap).size, lap.length);
  assert.equal(lap.includes("Zaire"), false);
  const second = Array.from({ length: lap.length }, () => names.next("tree"));
  assert.ok(second.every((name) => name.endsWith(" the 2nd")));
  const laps = new Set(Array.from({ length: 22 * (lap.length + 1) }, () => names.next("tree").replace(/^.* the /, "")));
  for (const ordinal of ["3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd"])
    assert.ok(laps.has(ordinal), ordinal);
  assert.equal(names.next("another"), first);
});

test("an agent that comes back in another process keeps its name for itself", async () => {
  const store = memoryStore();
  const begin = async () => {
    const r = await rig({ store });
    const runtime = runtimeOf(r.manager) ?? assert.fail();
    return { r, agents: new TurnAgents(runtime) };
  };
  const about = (parent: ThreadId) => ({
    ...{ parent, rootTurn: newTurnId(), config: {}, role: null, history: [] },
    ...{
      prompt: [{ type: "text" as const, text: "work" }],
      terms: { maxThreads: 1_000, maxDepth: 1 },
      signal: new AbortController().signal,
    },
  });
  const first = await begin();
  const { threadId: parent } = await first.r.manager.startThread();
  const agent = await first.agents.spawn(about(parent));
  const name = first.agents.nicknameOf(agent);
  await first.r[Symbol.asyncDispose]();
  const { r, agents } = await begin();
  await r.manager.resumeThread(parent);
  await agents.resume(agent, about(parent));
  assert.equal(agents.nicknameOf(agent), name);
  const given = [];
  do given.push(agents.nicknameOf(await agents.spawn(about(parent))));
  while (!given.at(-1)?.includes(" the "));
  assert.equal(given.includes(name), false);
  await r[Symbol.asyncDispose]();
});
