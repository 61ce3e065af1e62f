/** Strategy, order and intensity of groups, case by case. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { createActor } from "xstate";
import {
  type GroupEmitted,
  type GroupEvent,
  type GroupInput,
  type GroupStrategy,
  groupMachine,
} from "../../machines/group.machine.ts";
import type { MemberRestart } from "../../machines/roster.ts";
import { ManualClock } from "../../src/kernel/clock.ts";

const RULE: GroupInput = { strategy: "one_for_one", maxRestarts: 2, periodMs: 1_000, backoffMs: 0, maxBackoffMs: 0 };
const A_TO_D = ["a", "b", "c", "d"];

const told = (emitted: GroupEmitted): string | undefined => {
  switch (emitted.type) {
    case "member.stop":
      return `stop ${emitted.id}`;
    case "member.start":
      return `start ${emitted.id}`;
    case "member.left":
      return `left ${emitted.id}`;
    case "group.gaveUp":
      return `gave up by ${emitted.lastMember}`;
    case "group.stopped":
      return "stopped";
    default:
      return undefined;
  }
};

/** Carries out what the group decides, at once, unless `answers` is false: then a test does. */
function group(
  rule: Partial<GroupInput> & { members?: GroupInput["members"] } = {},
  {
    ids = A_TO_D,
    restart = "permanent",
    answers = true,
  }: { ids?: string[]; restart?: MemberRestart; answers?: boolean } = {},
) {
  const clock = new ManualClock();
  const log: string[] = [];
  const actor = createActor(groupMachine, { input: { ...RULE, ...rule }, clock });
  const send = (event: GroupEvent) => actor.send(event);
  actor.on("*", (emitted) => {
    const line = told(emitted);
    if (line !== undefined) log.push(line);
    if (!answers) return;
    if (emitted.type === "member.stop") clock.setTimeout(() => send({ type: "member.stopped", id: emitted.id }), 0);
    if (emitted.type === "member.start") clock.setTimeout(() => send({ type: "member.started", id: emitted.id }), 0);
  });
  actor.start();
  for (const id of ids) send({ type: "member.joined", id, restart });
  const end = (id: string, reason: Extract<GroupEvent, { type: "member.ended" }>["reason"] = "abnormal") =>
    send({ type: "member.ended", id, reason, at: clock.now() });
  const run = (ms = 0) => {
    clock.advance(ms);
    return log.splice(0);
  };
  const states = () => Object.fromEntries(actor.getSnapshot().context.members.map(({ id, state }) => [id, state]));
  return { clock, actor, send, end, run, states, log, is: () => actor.getSnapshot().value };
}

suite("group machine", () => {
  const sweeps: [GroupStrategy, crashed: string, did: string[]][] = [
    ["one_for_one", "b", ["start b"]],
    ["one_for_all", "b", ["stop d", "stop c", "stop a", "start a", "start b", "start c", "start d"]],
    ["rest_for_one", "b", ["stop d", "stop c", "start b", "start c", "start d"]],
    ["rest_for_one", "d", ["start d"]],
    ["rest_for_one", "a", ["stop d", "stop c", "stop b", "start a", "start b", "start c", "start d"]],
  ];
  for (const [strategy, crashed, did] of sweeps) {
    test(`${strategy}, ${crashed} of a to d crashes: ${did.join(", ")}`, () => {
      const { end, run, states } = group({ strategy });
      end(crashed);
      assert.deepEqual(run(), did);
      assert.deepEqual(Object.values(states()), ["up", "up", "up", "up"]);
    });
  }

  test("nobody starts before the last stop is done, and each is up before the next starts", () => {
    const { send, end, log, clock } = group({ strategy: "one_for_all" }, { ids: ["a", "b", "c"], answers: false });
    const step = (...events: GroupEvent[]) => {
      for (const event of events) send(event);
      clock.advance(0);
      return log.splice(0);
    };
    end("b");
    assert.deepEqual(step(), ["stop c"]);
    assert.deepEqual(step({ type: "member.stopped", id: "c" }), ["stop a"]);
    assert.deepEqual(step({ type: "member.stopped", id: "a" }), ["start a"]);
    assert.deepEqual(step({ type: "member.started", id: "a" }), ["start b"]);
    assert.deepEqual(step({ type: "member.started", id: "b" }), ["start c"]);
    assert.deepEqual(step({ type: "member.started", id: "c" }), []);
  });

  const table: [MemberRestart, ...string[]][] = [
    ["permanent", "start a", "start a", "start a", "ended"],
    ["transient", "ended", "start a", "start a", "ended"],
    ["temporary", "left a", "left a", "left a", "left a"],
  ];
  for (const [restart, ...comesTo] of table) {
    for (const [n, reason] of (["normal", "abnormal", "intensity", "asked"] as const).entries()) {
      test(`a ${restart} member that ends ${reason}: ${comesTo[n]}`, () => {
        const { end, run, states } = group({}, { ids: ["a", "b"], restart });
        end("a", reason);
        assert.equal(run()[0] ?? states().a, comesTo[n]);
        assert.equal(states().b, "up");
      });
    }
  }

  test("a member that has ended, or that somebody stopped, is not brought back by a sibling's crash", () => {
    const { send, end, run, states } = group(
      { strategy: "one_for_all" },
      { ids: ["a", "b", "c"], restart: "transient" },
    );
    end("a", "normal");
    send({ type: "member.stop", id: "b" });
    assert.deepEqual(run(), ["stop b"]);
    end("c");
    assert.deepEqual(run(), ["start c"]);
    assert.deepEqual(states(), { a: "ended", b: "ended", c: "up" });
  });

  for (const strategy of ["one_for_all", "rest_for_one"] as const) {
    test(`${strategy}: a temporary sibling's crash disturbs nobody; swept by another's it leaves`, () => {
      const { send, end, run, states } = group({ strategy }, { ids: ["a"] });
      send({ type: "member.joined", id: "t", restart: "temporary" });
      send({ type: "member.joined", id: "u", restart: "temporary" });
      end("t");
      assert.deepEqual(run(), ["left t"]);
      end("a");
      assert.deepEqual(run(), ["stop u", "left u", "start a"]);
      assert.deepEqual(states(), { a: "up" });
    });
  }

  test("members added while it runs are last; one that is stopped and restarted by hand keeps its place", () => {
    const { send, end, run } = group({ strategy: "rest_for_one", maxRestarts: 9 }, { ids: ["a", "b"] });
    send({ type: "member.stop", id: "a" });
    run();
    send({ type: "member.joined", id: "c", restart: "permanent" });
    send({ type: "member.restart", id: "a" });
    assert.deepEqual(run(), ["start a"]);
    end("a");
    assert.deepEqual(run(), ["stop c", "stop b", "start a", "start b", "start c"]);
  });

  test("intensity: the restart being asked for counts first, over all members; a crash exactly the period ago is forgotten", () => {
    const counted = group();
    for (const id of ["b", "d"]) {
      counted.end(id);
      assert.deepEqual(counted.run(), [`start ${id}`]);
    }
    counted.end("b");
    assert.deepEqual(counted.run(), ["stop d", "stop c", "stop b", "stop a", "gave up by b"]);
    assert.equal(counted.is(), "gaveUp");
    for (const [gapMs, comesTo] of [
      [999, "gaveUp"],
      [1_000, "running"],
    ] as const) {
      const edge = group({ maxRestarts: 1 });
      edge.end("a");
      edge.run(gapMs);
      edge.end("a");
      edge.run();
      assert.equal(edge.is(), comesTo, String(gapMs));
    }
    const none = group({ maxRestarts: 0 });
    none.end("a");
    none.run();
    assert.equal(none.is(), "gaveUp");
  });

  test("what is not counted: restarts by hand, temporary members, refusals; what is: each start that fails", () => {
    const g = group({ maxRestarts: 1, backoffMs: 10, maxBackoffMs: 10 }, { ids: ["a"], answers: false });
    for (let n = 0; n < 5; n += 1) {
      g.send({ type: "member.stop", id: "a" });
      g.send({ type: "member.stopped", id: "a" });
      g.send({ type: "member.restart", id: "a" });
      g.send({ type: "member.started", id: "a" });
      g.send({ type: "member.joined", id: `t${n}`, restart: "temporary" });
      g.end(`t${n}`);
    }
    assert.deepEqual([g.is(), g.states()], ["running", { a: "up" }]);
    g.end("a");
    for (let n = 0; n < 5; n += 1) {
      g.clock.advance(10);
      g.send({ type: "member.startRefused", id: "a" });
    }
    assert.equal(g.is(), "running");
    g.clock.advance(10);
    g.run();
    g.send({ type: "member.startFailed", id: "a", at: g.clock.now() });
    assert.deepEqual([g.is(), g.run()], ["givingUp", ["stop a"]]);
  });

  test("crashes at the same time: each counts under one_for_one; a sweep counts once, whoever is handled first", () => {
    const each = group({ maxRestarts: 2 });
    for (const id of ["a", "b", "c"]) each.end(id);
    each.run();
    assert.equal(each.is(), "gaveUp");
    for (const strategy of ["one_for_all", "rest_for_one"] as const) {
      for (const order of [
        ["a", "d", "b"],
        ["d", "b", "a"],
      ]) {
        const swept = group({ strategy, maxRestarts: 1 });
        for (const id of order) swept.end(id);
        const did = swept.run();
        assert.equal(swept.is(), "running", `${strategy}, ${order}`);
        assert.deepEqual(
          did.filter((line) => line !== "stop d"),
          ["stop c", "start a", "start b", "start c", "start d"],
        );
      }
    }
  });

  test("an init that fails in a sweep is tried again alone: those that are up again stay so", () => {
    const g = group({ strategy: "one_for_all", maxRestarts: 5 }, { ids: ["a", "b", "c"], answers: false });
    g.end("a");
    for (const id of ["c", "b"]) g.send({ type: "member.stopped", id });
    g.clock.advance(0);
    g.send({ type: "member.started", id: "a" });
    g.log.length = 0;
    g.send({ type: "member.startFailed", id: "b", at: 0 });
    g.clock.advance(0);
    g.send({ type: "member.started", id: "b" });
    g.send({ type: "member.started", id: "c" });
    assert.deepEqual(g.log, ["start b", "start c"]);
    assert.deepEqual(Object.values(g.states()), ["up", "up", "up"]);
  });

  test("a stop by hand cancels the retries for good, in each state that a member can be down in", () => {
    for (const during of ["waiting", "starting"] as const) {
      const g = group({ backoffMs: 100, maxBackoffMs: 100, maxRestarts: 9 }, { ids: ["a"], answers: false });
      g.end("a");
      if (during === "starting") g.clock.advance(100);
      assert.equal(g.states().a, during);
      g.send({ type: "member.stop", id: "a" });
      if (during === "starting") g.send({ type: "member.startFailed", id: "a", at: g.clock.now() });
      g.send({ type: "member.stopped", id: "a" });
      g.clock.advance(1_000);
      assert.deepEqual([g.states().a, g.log.at(-1)], ["ended", "stop a"], during);
    }
  });

  test("stopped from above: right to left, whatever the strategy, also in the midst of a restart; no timer is left", () => {
    for (const strategy of ["one_for_one", "one_for_all", "rest_for_one"] as const) {
      const g = group({ strategy, backoffMs: 100, maxBackoffMs: 100 });
      g.send({ type: "group.stop" });
      assert.deepEqual(g.run(), ["stop d", "stop c", "stop b", "stop a", "stopped"]);
      const midst = group({ strategy, backoffMs: 100, maxBackoffMs: 100 });
      midst.end("b");
      midst.run(50);
      midst.send({ type: "group.stop" });
      assert.deepEqual(
        midst.run(0).filter((line) => line.startsWith("start")),
        [],
      );
      assert.deepEqual([midst.is(), midst.clock.pending], ["stopped", 0]);
    }
  });

  test("revived, those that ended with the group come back in order, and those that had ended before do not", () => {
    const g = group({ maxRestarts: 1 }, { restart: "transient" });
    g.end("b", "normal");
    g.end("a");
    g.run();
    g.end("a");
    assert.deepEqual(g.run(), ["stop d", "stop c", "stop a", "gave up by a"]);
    g.send({ type: "group.revive" });
    assert.deepEqual(g.run(), ["start a", "start c", "start d"]);
    g.end("a");
    g.run();
    assert.equal(g.is(), "gaveUp", "by hand the count goes on");
    g.send({ type: "group.restart" });
    g.run();
    g.end("a");
    g.run();
    assert.equal(g.is(), "running", "the group above begins it anew");
  });

  test("a back-off that a stop has cut short wakes nobody later, though the member waits again", () => {
    const g = group({ maxRestarts: 9, backoffMs: 100, maxBackoffMs: 100 }, { ids: ["a"] });
    g.end("a");
    g.send({ type: "member.stop", id: "a" });
    assert.deepEqual(g.run(), ["stop a"]);
    g.send({ type: "member.restart", id: "a" });
    assert.deepEqual(g.run(50), ["start a"]);
    g.end("a");
    assert.deepEqual([g.run(50), g.run(49), g.run(1)], [[], [], ["start a"]]);
  });

  test("one that joins again keeps its place; a restart that is under way goes on, and one that was stopped is restarted again", () => {
    const g = group({ backoffMs: 100, maxBackoffMs: 100, maxRestarts: 9 });
    g.end("b");
    g.send({ type: "member.joined", id: "b", restart: "transient" });
    assert.equal(g.states().b, "waiting");
    assert.deepEqual(g.run(100), ["start b"]);
    g.send({ type: "member.stop", id: "b" });
    g.run();
    g.send({ type: "member.joined", id: "b", restart: "transient" });
    assert.deepEqual(g.states(), { a: "up", b: "up", c: "up", d: "up" });
    g.end("b");
    assert.deepEqual(g.run(200), ["start b"]);
  });

  test("back-off doubles up to its cap, with jitter below", () => {
    const g = group({ maxRestarts: 9, backoffMs: 100, maxBackoffMs: 300, jitter: 0.5 }, { ids: ["a"] });
    for (const waitMs of [100, 200, 300, 300]) {
      g.end("a");
      assert.deepEqual([g.run(waitMs - 1), g.run(1)], [[], ["start a"]]);
    }
    g.send({ type: "member.ended", id: "a", reason: "abnormal", at: g.clock.now(), chance: 1 });
    assert.deepEqual([g.run(149), g.run(1)], [[], ["start a"]]);
  });
});

suite("group machine, any walk", () => {
  const member = fc.constantFrom("a", "b", "c");
  const step = fc.oneof(
    fc.record({ do: fc.constant("crash" as const), id: member }),
    fc.record({ do: fc.constant("end" as const), id: member }),
    fc.record({ do: fc.constant("stop" as const), id: member }),
    fc.record({ do: fc.constant("restart" as const), id: member }),
    fc.record({ do: fc.constant("answer" as const), id: member }),
    fc.record({ do: fc.constant("fail" as const), id: member }),
    fc.record({ do: fc.constant("wait" as const), id: member }),
  );

  test("one life for each id; stops before starts; never more restarts in a period than it allows", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<GroupStrategy>("one_for_one", "one_for_all", "rest_for_one"),
        fc.integer({ min: 0, max: 3 }),
        fc.array(step, { maxLength: 60 }),
        (strategy, maxRestarts, steps) => {
          const g = group(
            { strategy, maxRestarts, backoffMs: 30, maxBackoffMs: 100 },
            { ids: ["a", "b", "c"], answers: false },
          );
          const lives = new Set(["a", "b", "c"]);
          const asked = { stop: undefined as string | undefined, start: undefined as string | undefined };
          const sweeps: number[] = [];
          g.actor.on("member.stop", ({ id }) => {
            assert.equal(asked.stop, undefined);
            asked.stop = id;
          });
          g.actor.on("member.start", ({ id }) => {
            assert.deepEqual([asked.start, asked.stop], [undefined, undefined]);
            assert.ok(!lives.has(id), `${id} lives already`);
            asked.start = id;
          });
          for (const { do: what, id } of steps) {
            const before = g.actor.getSnapshot().context.restarts;
            if ((what === "crash" || what === "end") && lives.delete(id))
              g.end(id, what === "crash" ? "abnormal" : "normal");
            if (what === "stop") g.send({ type: "member.stop", id });
            if (what === "restart") g.send({ type: "member.restart", id });
            if (what === "wait") g.clock.advance(50);
            if (what === "answer" && asked.stop === id) {
              asked.stop = undefined;
              lives.delete(id);
              g.send({ type: "member.stopped", id });
            } else if (what === "answer" && asked.start === id) {
              asked.start = undefined;
              lives.add(id);
              g.send({ type: "member.started", id });
            } else if (what === "fail" && asked.start === id) {
              asked.start = undefined;
              g.send({ type: "member.startFailed", id, at: g.clock.now() });
            }
            if (g.actor.getSnapshot().context.restarts !== before && g.is() === "running") sweeps.push(g.clock.now());
          }
          for (const at of sweeps) {
            const within = sweeps.filter((time) => time <= at && at - time < RULE.periodMs);
            assert.ok(within.length <= maxRestarts);
          }
          g.actor.stop();
          assert.equal(g.clock.pending, 0);
        },
      ),
      { numRuns: 500 },
    );
  });
});

/** A group whose stops and starts are answered by the test: each step gives what the group tells. */
function stepped(rule: Parameters<typeof group>[0], ids: string[], restart: MemberRestart = "permanent") {
  const g = group(rule, { ids, restart, answers: false });
  const step = (...events: GroupEvent[]) => {
    for (const event of events) g.send(event);
    return g.run();
  };
  const restarts = () => g.actor.getSnapshot().context.restarts.length;
  return { ...g, step, restarts };
}

suite("a group that ends", () => {
  test("who leaves is told of, whether it was stopped or ended by itself, before what follows", () => {
    const { step, is } = stepped({}, ["a", "b", "c"], "temporary");
    assert.deepEqual(step({ type: "group.stop" }), ["stop c"]);
    assert.deepEqual(step({ type: "member.ended", id: "b", reason: "normal", at: 0 }), ["left b"]);
    assert.deepEqual(step({ type: "member.stopped", id: "c" }), ["left c", "stop a"]);
    assert.deepEqual([step({ type: "member.stopped", id: "a" }), is()], [["left a", "stopped"], "stopped"]);
  });

  const ends: [string, GroupEvent][] = [
    ["has started", { type: "member.started", id: "a" }],
    ["could not start", { type: "member.startFailed", id: "a", at: 0 }],
    ["was refused its start", { type: "member.startRefused", id: "a" }],
    ["has ended meanwhile", { type: "member.ended", id: "a", reason: "abnormal", at: 0 }],
  ];
  for (const [what, event] of ends) {
    test(`one that was starting is stopped once it ${what}`, () => {
      const { step, is, restarts } = stepped({}, ["a", "b"]);
      assert.deepEqual(step({ type: "member.ended", id: "a", reason: "abnormal", at: 0 }), ["start a"]);
      assert.deepEqual(step({ type: "group.stop" }), ["stop b"]);
      assert.deepEqual(step({ type: "member.stopped", id: "b" }), []);
      assert.deepEqual(step(event), ["stop a"]);
      assert.deepEqual([step({ type: "member.stopped", id: "a" }), is(), restarts()], [["stopped"], "stopped", 1]);
    });
  }

  test("a member can be dropped while it ends, and when it has", () => {
    const { step, states, is } = stepped({}, ["a", "b", "c"]);
    step({ type: "group.stop" });
    assert.deepEqual(step({ type: "member.drop", id: "a" }), ["left a"]);
    step({ type: "member.stopped", id: "c" });
    assert.deepEqual([step({ type: "member.stopped", id: "b" }), is()], [["stopped"], "stopped"]);
    assert.deepEqual([step({ type: "member.drop", id: "c" }), states()], [["left c"], { b: "ended" }]);
  });

  /** Whether a member that was to be stopped comes back, by how it ended before its turn to stop came. */
  const overtaken: [MemberRestart, ...comesBack: boolean[]][] = [
    ["permanent", true, true, true, false],
    ["transient", false, true, true, false],
    ["temporary", false, false, false, false],
  ];
  for (const [restart, ...comesBack] of overtaken) {
    for (const [n, reason] of (["normal", "abnormal", "intensity", "asked"] as const).entries()) {
      const fate = comesBack[n] ? "comes back" : "stays away";
      const isBack = comesBack[n] ? "due" : restart === "temporary" ? undefined : "ended";
      test(`a ${restart} one that ends ${reason} before it is stopped ${fate}, with its siblings and with the whole group`, () => {
        const swept = stepped({ strategy: "one_for_all", maxRestarts: 5 }, ["b", "c"]);
        swept.step({ type: "member.joined", id: "a", restart });
        swept.step({ type: "member.joined", id: "z", restart: "permanent" });
        assert.deepEqual(swept.step({ type: "member.ended", id: "c", reason: "abnormal", at: 0 }), ["stop z"]);
        assert.equal(swept.states().a, "marked");
        swept.step({ type: "member.ended", id: "a", reason, at: 0 });
        assert.equal(swept.states().a, isBack);

        const above = stepped({ maxRestarts: 0 }, ["c"]);
        above.step({ type: "member.joined", id: "a", restart });
        above.step({ type: "member.joined", id: "z", restart: "permanent" });
        assert.deepEqual(above.step({ type: "member.ended", id: "c", reason: "abnormal", at: 0 }), ["stop z"]);
        above.step({ type: "member.ended", id: "a", reason, at: 0 });
        above.step({ type: "member.stopped", id: "z" }, { type: "member.stopped", id: "c" });
        assert.equal(above.is(), "gaveUp");
        above.step({ type: "group.restart" });
        assert.equal(above.states().a, isBack);
      });
    }
  }

  test("one that gave up can be dropped from as well, and comes back whole and uncounted with the group above", () => {
    const { step, states, is, restarts } = stepped({ maxRestarts: 0 }, ["a", "b", "c"]);
    step({ type: "member.ended", id: "b", reason: "abnormal", at: 0 });
    for (const id of ["c", "b", "a"]) step({ type: "member.stopped", id });
    assert.deepEqual([is(), restarts()], ["gaveUp", 1]);
    assert.deepEqual([step({ type: "member.drop", id: "c" }), Object.keys(states())], [["left c"], ["a", "b"]]);
    assert.deepEqual([step({ type: "group.restart" }), is(), restarts()], [["start a"], "running", 0]);
    assert.deepEqual(states(), { a: "starting", b: "due" });
  });
});

suite("what a group counts", () => {
  test("an end of a member that is not known, or a start that failed of one that was not starting, is none", () => {
    const { step, restarts, states } = stepped({}, ["a"]);
    step({ type: "member.ended", id: "x", reason: "abnormal", at: 0 });
    step({ type: "member.startFailed", id: "a", at: 0 });
    assert.deepEqual([restarts(), states()], [0, { a: "up" }]);
  });

  const crashOf = (id: string): GroupEvent => ({ type: "member.ended", id, reason: "abnormal", at: 0 });
  const inEach: [state: string, GroupEvent[], counts: number][] = [
    ["up", [], 1],
    ["starting", [crashOf("a")], 1],
    ["waiting", [crashOf("b"), crashOf("a")], 0],
    ["due", [crashOf("b"), crashOf("a")], 0],
    ["stopping", [{ type: "member.stop", id: "a" }], 0],
    [
      "marked",
      [
        { type: "member.stop", id: "b" },
        { type: "member.stop", id: "a" },
      ],
      0,
    ],
    ["ended", [{ type: "member.ended", id: "a", reason: "asked", at: 0 }], 0],
  ];
  for (const [state, before, counts] of inEach) {
    test(`a crash of one that is ${state} counts ${counts}`, () => {
      const waits = state === "waiting" ? { backoffMs: 100, maxBackoffMs: 100 } : {};
      const { step, restarts, states } = stepped({ maxRestarts: 9, ...waits }, ["a", "b"]);
      step(...before);
      assert.equal(states().a, state);
      const counted = restarts();
      step(crashOf("a"));
      assert.equal(restarts() - counted, counts);
    });
  }

  test("a crash in the midst of a sweep is a part of the restart that was counted, whatever is left of the sweep", () => {
    const { step, restarts, states } = stepped({ strategy: "rest_for_one" }, ["a", "b", "c", "d"]);
    assert.deepEqual(step({ type: "member.stop", id: "d" }), ["stop d"]);
    step({ type: "member.ended", id: "b", reason: "abnormal", at: 0 });
    assert.deepEqual([states(), restarts()], [{ a: "up", b: "due", c: "marked", d: "stopping" }, 1]);
    step({ type: "member.ended", id: "a", reason: "abnormal", at: 0 });
    assert.equal(restarts(), 1);
  });

  test("one while another member is stopped because somebody asked is a restart of its own", () => {
    const { step, restarts } = stepped({ strategy: "rest_for_one" }, ["a", "b"]);
    assert.deepEqual(step({ type: "member.stop", id: "b" }), ["stop b"]);
    step({ type: "member.ended", id: "a", reason: "abnormal", at: 0 });
    assert.equal(restarts(), 1);
  });

  test("a member that somebody else has brought back is up, if it had ended, and is as it was else", () => {
    const { step, states } = stepped({}, ["a", "b"], "transient");
    step({ type: "member.ended", id: "a", reason: "normal", at: 0 }, { type: "member.stop", id: "b" });
    assert.deepEqual(states(), { a: "ended", b: "stopping" });
    step({ type: "member.returned", id: "a" }, { type: "member.returned", id: "b" });
    assert.deepEqual(states(), { a: "up", b: "stopping" });
  });
});
