/** What a log at debug level, an inspector and the events' times tell of a session; and what they never tell. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { fromCallback, type InspectionEvent } from "xstate";
import type { SkeinLogger } from "../../src/kernel/log.ts";
import { openHome } from "../../src/manager/home.ts";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import { InvalidRequestError, SessionConfiguredNotFirstEventError } from "../../src/protocol/errors.ts";
import { created, ModelServer, type Reply, sse, wholeAnswer } from "../model/model-server.ts";
import { rig, watch } from "../rig.ts";
import { tempHome } from "../services/temp-home.ts";

type Line = { readonly level: string; readonly message: string | undefined; readonly details: Record<string, unknown> };

function listening(): { readonly lines: Line[]; readonly logger: SkeinLogger } {
  const lines: Line[] = [];
  const at =
    (level: string) =>
    (...[details, message]: unknown[]): void => {
      lines.push({ level, message: message as string | undefined, details: details as Record<string, unknown> });
    };
  return { lines, logger: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") } };
}

const busy: Reply = (response) => void response.writeHead(503).end("try again");
const brokenOff: Reply = (response) =>
  void response.writeHead(200, { "content-type": "text/event-stream" }).write(sse(created), () => response.destroy());
const whole: Reply = (response) =>
  void response.writeHead(200, { "content-type": "text/event-stream" }).end(wholeAnswer("the secret answer"));

/** A session of a home whose model's server fails in two ways before it answers. */
async function session(t: TestContext) {
  const replies = [busy, brokenOff, whole];
  const server = await ModelServer.start((response, request) => (replies.shift() ?? whole)(response, request));
  t.after(() => server[Symbol.asyncDispose]());
  const home = await tempHome(t);
  const provider = `base_url = "${server.baseUrl}"\nexperimental_bearer_token = "canary-key"\nrequest_max_retries = 2\nstream_max_retries = 2`;
  await writeFile(join(home, "config.toml"), `model = "m"\nmodel_provider = "p"\n[model_providers.p]\n${provider}\n`);
  const { lines, logger } = listening();
  const opened = await openHome({ home, env: {}, cwd: home, logger });
  t.after(() => opened.close());
  const manager = await ThreadManager.create(opened.options);
  const { thread, threadId } = await manager.startThread();
  const { status } = await thread.run("the secret question");
  assert.equal(status, "completed");
  await manager.shutdown();
  return { lines, threadId };
}

suite("debug lines", () => {
  test("a session tells of each step from its reservation to its end, with its place and its time", async (t) => {
    const { lines, threadId } = await session(t);
    const debug = lines.filter(({ level }) => level === "debug");
    const first = (message: string) => debug.find((line) => line.message === message)?.details ?? assert.fail(message);
    const order = ["place reserved", "lease taken", "event", "booted", "model request", "life ended"];
    const places = order.map((message) => debug.findIndex((line) => line.message === message));
    assert.deepEqual(
      places,
      places.toSorted((one, other) => one - other),
    );
    assert.ok(!places.includes(-1), String(places));
    assert.deepEqual(first("lease taken"), { threadId, epoch: 1 });
    assert.deepEqual(first("event"), { threadId, epoch: 1, seq: 0, id: "", type: "session_configured" });
    const { ms, ...booted } = first("booted");
    assert.deepEqual([booted, typeof ms], [{ threadId, epoch: 1, origin: "new" }, "number"]);
    const { turnId, ...asked } = first("model request");
    assert.deepEqual([asked.threadId, asked.model, typeof turnId], [threadId, "m", "string"]);
    assert.equal(first("model request over").turnId, turnId);
    const { delayMs, ...http } = first("HTTP request retried");
    assert.deepEqual([http, typeof delayMs], [{ path: "/responses", attempt: 1, status: 503 }, "number"]);
    assert.deepEqual([first("model request retried").turnId, first("model request retried").retries], [turnId, 1]);
    assert.deepEqual(first("life ended"), { threadId, epoch: 1, reason: "closed" });
    assert.deepEqual(first("lease released"), { threadId, epoch: 1 });
  });

  test("no content and no secret is in any line, and deltas have none", async (t) => {
    const { lines } = await session(t);
    const said = JSON.stringify(lines);
    for (const word of ["secret question", "secret answer", "canary-key"]) assert.ok(!said.includes(word), word);
    const types = lines.map(({ details }) => String(details.type));
    assert.ok(types.includes("task_complete"));
    assert.deepEqual(
      types.filter((type) => type.endsWith("_delta")),
      [],
    );
  });

  test("a boot that fails says by what code", async () => {
    const { lines, logger } = listening();
    const silent = fromCallback<{ type: string }>(({ emit }) => emit({ type: "agent_message" } as never));
    await using r = await rig({ logger, threadLogic: silent });
    await assert.rejects(r.manager.startThread(), SessionConfiguredNotFirstEventError);
    const failed = lines.find(({ message }) => message === "boot failed");
    assert.equal(failed?.details.code, "session_configured_not_first_event");
  });
});

suite("inspect", () => {
  test("the supervisor, the threads and their turns are seen by one inspector", async () => {
    const seen: InspectionEvent[] = [];
    await using r = await rig({ inspect: (event) => seen.push(event) });
    const { thread, threadId } = await r.manager.startThread();
    await thread.run("hi");
    const actors = seen
      .filter(({ type }) => type === "@xstate.actor")
      .map(({ actorRef }) => Reflect.get(actorRef, "id"));
    assert.ok(actors.includes(threadId), actors.join(", "));
    assert.ok(actors.length >= 3, "the supervisor's, the thread's and the turn's actor");
    const events = seen.flatMap((event) => (event.type === "@xstate.event" ? [event.event.type] : []));
    assert.ok(events.includes("session.configure"));
  });

  test("an observer will do; what it throws is logged, and hurts no thread", async () => {
    const { lines, logger } = listening();
    const next = () => {
      throw new Error("no space on the screen");
    };
    await using r = await rig({ logger, inspect: { next } });
    const { thread } = await r.manager.startThread();
    assert.equal((await thread.run("hi")).status, "completed");
    assert.ok(lines.some(({ level, message }) => level === "warn" && message === "the inspector failed"));
  });

  test("what is no inspector is refused", async () => {
    await assert.rejects(ThreadManager.create({ inspect: 7 as never }), InvalidRequestError);
  });
});

test("events carry the time when they were shown, by the manager's clock", async () => {
  await using r = await rig();
  const { thread } = await r.manager.startThread();
  const events = watch(thread);
  const begun = r.clock.now();
  await thread.run("hi");
  await r.clock.advanceAsync(5_000);
  await thread.run("and again");
  const times = events.map(({ time }) => time);
  assert.equal(times[0], begun);
  assert.ok((times.at(-1) ?? 0) >= begun + 5_000);
  assert.deepEqual(
    times,
    times.toSorted((one, other) => one - other),
  );
});
