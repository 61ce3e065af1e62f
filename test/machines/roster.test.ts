/** The roster of a group against a plain list, and that what it costs does not grow with it. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { createActor } from "xstate";
import { type GroupEvent, type GroupStrategy, groupMachine } from "../../machines/group.machine.ts";
import { type GroupMember, type MemberKind, type MemberState, Roster } from "../../machines/roster.ts";
import { ManualClock } from "../../src/kernel/clock.ts";

const STATES: readonly MemberState[] = ["up", "marked", "stopping", "waiting", "due", "starting", "ended"];

const IS: Record<MemberKind, (member: GroupMember) => boolean> = {
  ...(Object.fromEntries(STATES.map((state) => [state, (member: GroupMember) => member.state === state])) as Record<
    MemberState,
    (member: GroupMember) => boolean
  >),
  swept: ({ state, why }) => why === "sibling" && (state === "marked" || state === "stopping"),
  moving: ({ state }) => state !== "up" && state !== "ended",
  living: ({ state }) => state !== "ended",
};
const KINDS = Object.keys(IS) as MemberKind[];

// Two that have the same hash, found by trying: they stand together.
const SAME_HASH = ["94734", "106169"] as const;
const ids = fc.oneof(fc.constantFrom(...SAME_HASH), fc.integer({ min: 0, max: 80 }).map(String), fc.uuid());
const member = fc.record({
  id: ids,
  restart: fc.constant("permanent" as const),
  state: fc.constantFrom(...STATES),
  why: fc.constantFrom("sibling" as const, "asked" as const, undefined),
});
const step = fc.oneof(
  { weight: 3, arbitrary: member.map((given) => ({ with: given })) },
  { weight: 1, arbitrary: ids.map((without) => ({ without })) },
);

suite("roster", () => {
  test("is the list that it stands for, after any changes; one that was changed is as it was; it tells what has changed since", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.nat(120), (steps, at) => {
        let list: GroupMember[] = [];
        let roster = Roster.of([]);
        let before = { roster, list };
        for (const [n, each] of steps.entries()) {
          if (n === at) before = { roster, list };
          if ("with" in each) {
            const known = list.findIndex(({ id }) => id === each.with.id);
            list = known === -1 ? [...list, each.with] : list.with(known, each.with);
            roster = roster.with(each.with);
          } else {
            list = list.filter(({ id }) => id !== each.without);
            roster = roster.without(each.without);
          }
        }
        assert.deepEqual([...roster], list);
        assert.deepEqual([...before.roster], before.list);
        assert.deepEqual([...Roster.of(list)], list);
        assert.equal(roster.length, list.length);
        for (const each of list) assert.equal(roster.get(each.id), each);
        assert.equal(roster.get("nobody"), undefined);
        for (const kind of KINDS) {
          const some = list.filter(IS[kind]);
          assert.deepEqual([...roster.of(kind)], some, kind);
          assert.deepEqual(
            [roster.count(kind), roster.first(kind), roster.last(kind)],
            [some.length, some[0], some.at(-1)],
          );
          const from = list[at % Math.max(1, list.length)]?.id;
          const after = list.slice(list.findIndex(({ id }) => id === from)).filter(IS[kind]);
          if (from !== undefined) assert.deepEqual([...roster.of(kind, { from })], after, kind);
        }
        const now = new Map(before.list.map((each) => [each.id, each]));
        for (const { before: was, after } of roster.since(before.roster)) {
          if (was !== undefined && was.id !== after?.id) now.delete(was.id);
          if (after !== undefined) now.set(after.id, after);
        }
        assert.deepEqual(new Set(now.values()), new Set(list));
      }),
      { numRuns: 500 },
    );
  });
});

/** How often any member is looked at while the events are handled, in a group of so many. */
function looks(members: number, strategy: GroupStrategy, events: (id: (n: number) => string) => GroupEvent[]): number {
  let count = 0;
  const watched = (n: number): GroupMember => ({
    id: `m${n}`,
    restart: "permanent",
    get state() {
      count += 1;
      return "up" as const;
    },
  });
  const input = {
    ...{ strategy, maxRestarts: 99, periodMs: 1_000, backoffMs: 0, maxBackoffMs: 0 },
    members: Array.from({ length: members }, (_, n) => watched(n)),
  };
  const clock = new ManualClock();
  const actor = createActor(groupMachine, { input, clock });
  actor.start();
  count = 0;
  for (const event of events((n) => `m${n < 0 ? members + n : n}`)) {
    const before = actor.getSnapshot().context.members;
    actor.send(event);
    clock.advance(1);
    // As whoever stores them looks.
    for (const { after } of actor.getSnapshot().context.members.since(before)) void after?.state;
  }
  return count;
}

suite("what a change of a group costs", () => {
  const work: [string, GroupStrategy, (id: (n: number) => string) => GroupEvent[]][] = [
    ["a member joins", "one_for_all", () => [{ type: "member.joined", id: "new", restart: "permanent" }]],
    [
      "one crashes and is up again",
      "one_for_one",
      (id) => [
        { type: "member.ended", id: id(-1), reason: "abnormal", at: 0 },
        { type: "member.started", id: id(-1) },
      ],
    ],
    [
      "the last crashes under rest_for_one",
      "rest_for_one",
      (id) => [
        { type: "member.ended", id: id(-1), reason: "abnormal", at: 0 },
        { type: "member.started", id: id(-1) },
      ],
    ],
    [
      "one is stopped, brought back, stopped and dropped",
      "one_for_all",
      (id) => [
        { type: "member.stop", id: id(3) },
        { type: "member.stopped", id: id(3) },
        { type: "member.restart", id: id(3) },
        { type: "member.started", id: id(3) },
        { type: "member.stop", id: id(3) },
        { type: "member.stopped", id: id(3) },
        { type: "member.drop", id: id(3) },
      ],
    ],
  ];
  for (const [what, strategy, events] of work) {
    test(`${what}: as many looks at members among 10,000 as among 10`, () => {
      assert.equal(looks(10_000, strategy, events), looks(10, strategy, events));
    });
  }
});
