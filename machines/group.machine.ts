/**
 * A group of threads and groups, as an OTP supervisor counts and orders them: whom the end of a member takes along, who is stopped and
 * started when, and when it is too often.
 *
 *   running ──(more than maxRestarts within periodMs)──▶ givingUp ──(all stopped)──▶ gaveUp
 *      │  ▲                                                                            │
 *      │  └────────────────────── group.revive, group.restart ─────────────────────────┤
 *      └──group.stop──▶ stopping ──(all stopped)──▶ stopped ───────────────────────────┘
 *
 * A member, in its place of the order in which members joined:
 *
 *   up ──ended──▶ waiting ──(back-off)──▶ due ──▶ starting ──started──▶ up
 *    │             (its strategy restarts it)         └──startFailed──▶ waiting   (counted; `startRefused` is not)
 *    ├──ended───▶ ended                    (its strategy does not; `temporary`: it leaves the group)
 *    └──sibling's end──▶ marked ──▶ stopping ──stopped──▶ due
 *
 * - Whom an end takes along: one_for_one nobody, one_for_all all, rest_for_one those that joined after it. Those that have ended stay so.
 * - Marked members are stopped one after another, the last that joined first; nobody starts before the last of them has stopped.
 * - Members are started one after another, the first that joined first; but for one_for_one, none before all back-offs are over.
 * - The restart that is asked for is counted first. A sweep counts once: members that are found dead before its starts begin are restarted
 *   with it, and one that joined earlier widens it.
 *
 * Pure: time (of a clock that nobody sets) and chance come with the events, and it knows members by their ids alone.
 */
import { assign, emit, enqueueActions, setup } from "xstate";
import { type GroupMember, type MemberRestart, type MemberState, Roster, type StopReason } from "./roster.ts";

/** Whom the end of one member takes along. */
export type GroupStrategy = "one_for_one" | "one_for_all" | "rest_for_one";
/** `asked`: somebody wanted it. `intensity`: of a group, which gave up. */
export type MemberEnd = "normal" | "asked" | "abnormal" | "intensity";

/** The rule of a group, and what is known of it from before: its members in order, and the times of its restarts. */
export type GroupInput = {
  strategy: GroupStrategy;
  maxRestarts: number;
  periodMs: number;
  backoffMs: number;
  maxBackoffMs: number;
  /** How much of a delay is left to chance: 0.5 makes it between half as long and as long. Default 0. */
  jitter?: number;
  members?: readonly GroupMember[];
  restarts?: readonly number[];
  /** What it had come to. Default `running`. */
  state?: "running" | "gaveUp" | "stopped";
};

/** `at`: milliseconds of a clock that is never set; `chance`: from 0 up to 1. */
export type GroupEvent =
  | { type: "member.joined"; id: string; restart: MemberRestart; state?: "up" | "due" }
  | { type: "member.ended"; id: string; reason: MemberEnd; at: number; chance?: number }
  | { type: "member.stopped"; id: string }
  | { type: "member.started"; id: string }
  | { type: "member.returned"; id: string }
  | { type: "member.startFailed"; id: string; at: number; chance?: number }
  | { type: "member.startRefused"; id: string; chance?: number }
  | { type: "member.due"; id: string }
  | { type: "member.stop"; id: string }
  | { type: "member.restart"; id: string }
  | { type: "member.drop"; id: string }
  | { type: "group.stop" }
  | { type: "group.revive" }
  | { type: "group.restart" };

/** What is to be done. Each `member.stop` is answered by `member.stopped`, each `member.start` by started, startFailed or startRefused. */
export type GroupEmitted =
  | { type: "member.stop"; id: string; why: StopReason }
  | { type: "member.start"; id: string }
  | { type: "member.left"; id: string }
  | { type: "group.changed" }
  | { type: "group.gaveUp"; lastMember: string | null; restarts: number }
  | { type: "group.stopped" };

/** `restarts` holds times within the period alone, so never more than `maxRestarts` + 1. */
export type GroupContext = Required<Omit<GroupInput, "members">> & {
  readonly members: Roster;
  readonly lastMember: string | null;
};

type EventOf<T extends GroupEvent["type"]> = Extract<GroupEvent, { type: T }>;

const changed = (members: Roster, id: string, state: MemberState, why?: StopReason): Roster => {
  const member = members.get(id);
  return member === undefined ? members : members.with({ ...member, state, why });
};

const recent = ({ restarts, periodMs, maxRestarts }: GroupContext, at: number): readonly number[] =>
  [...restarts.filter((time) => at - time < periodMs), at].slice(-(maxRestarts + 1));

const restartsAfter = ({ restart }: GroupMember, reason: MemberEnd): boolean => {
  if (reason === "asked" || restart === "temporary") return false;
  return restart === "permanent" || reason !== "normal";
};

/** Members are being stopped, or wait out a back-off, for one restart that was counted. */
const isSweeping = ({ strategy, members }: GroupContext): boolean =>
  strategy !== "one_for_one" && members.count("waiting") + members.count("swept") > 0;

/** Whether this end is a restart of its own, or a part of one that has been counted. */
const counts = (context: GroupContext, event: EventOf<"member.ended" | "member.startFailed">): boolean => {
  const member = context.members.get(event.id);
  if (member === undefined) return false;
  if (event.type === "member.startFailed") return member.state === "starting";
  if (member.state !== "up" && member.state !== "starting") return false;
  return restartsAfter(member, event.reason) && !isSweeping(context);
};

/** Those that a restart of the member takes along are marked; the temporary among them leave once they have stopped. */
function sweptFrom({ strategy, members }: GroupContext, id: string): Roster {
  if (strategy === "one_for_one") return members;
  let swept = members;
  for (const member of members.of("up", strategy === "one_for_all" ? {} : { from: id }))
    if (member.id !== id) swept = swept.with({ ...member, state: "marked", why: "sibling" });
  return swept;
}

/** An end that the group has not asked for, in the state that the member was in. */
function afterEnd(context: GroupContext, { id, reason }: EventOf<"member.ended">): Roster {
  const { members } = context;
  const member = members.get(id);
  switch (member?.state) {
    case "up":
    case "starting": {
      if (member.restart === "temporary") return members.without(id);
      // It is to be stopped for good, and is down now: that is left to do.
      if (member.why !== undefined) return changed(members, id, "marked", member.why);
      if (!restartsAfter(member, reason)) return changed(members, id, "ended");
      return changed(sweptFrom(context, id), id, "waiting");
    }
    case "marked": {
      if (member.restart === "temporary") return members.without(id);
      const isBack = member.why === "sibling" && restartsAfter(member, reason);
      if (isBack) return changed(members, id, "due");
      return changed(members, id, "ended", restartsAfter(member, reason) ? member.why : undefined);
    }
    default:
      return members;
  }
}

function afterStop({ members }: GroupContext, id: string): Roster {
  const member = members.get(id);
  if (member?.state !== "stopping") return members;
  if (member.restart === "temporary") return members.without(id);
  return member.why === "sibling" ? changed(members, id, "due") : changed(members, id, "ended", member.why);
}

/** To be stopped for good, wherever it is; one that is starting is stopped once it has started. */
function markedForEnd(members: Roster, living: Iterable<GroupMember>, why: StopReason): Roster {
  let marked = members;
  for (const member of living) {
    if (member.state === "ended") continue;
    const isUnderWay = member.state === "stopping" || member.state === "starting";
    marked = marked.with({ ...member, why, ...(!isUnderWay && { state: "marked" }) });
  }
  return marked;
}

/** What is to be done next: at most one stop or one start is under way. */
function nextOf({ members, strategy }: GroupContext, mayStart: boolean): GroupEmitted | undefined {
  if (members.count("stopping") > 0) return undefined;
  const marked = members.last("marked");
  if (marked !== undefined) return { type: "member.stop", id: marked.id, why: marked.why ?? "asked" };
  const waits = members.count("starting") + (strategy === "one_for_one" ? 0 : members.count("waiting")) > 0;
  const due = mayStart && !waits ? members.first("due") : undefined;
  return due && { type: "member.start", id: due.id };
}

const delayOf = ({ restarts, backoffMs, maxBackoffMs, jitter }: GroupContext, chance: number): number =>
  Math.min(maxBackoffMs, backoffMs * 2 ** Math.max(0, restarts.length - 1)) * (1 - jitter * chance);

const machine = setup({
  types: {
    context: {} as GroupContext,
    events: {} as GroupEvent,
    input: {} as GroupInput,
    emitted: {} as GroupEmitted,
  },
  guards: {
    exceedsIntensity: ({ context, event }) =>
      (event.type === "member.ended" || event.type === "member.startFailed") &&
      counts(context, event) &&
      recent(context, event.at).length > context.maxRestarts,
    hadGivenUp: ({ context }) => context.state === "gaveUp",
    hadStopped: ({ context }) => context.state === "stopped",
    nobodyLives: ({ context }) => context.members.count("living") === 0,
  },
  actions: {
    join: assign({
      members: ({ context, event }) => {
        const { id, restart, state = "up" } = event as EventOf<"member.joined">;
        const known = context.members.get(id);
        // One that joins again is where it is: whatever is under way with it goes on.
        const isThere = known !== undefined && known.state !== "ended";
        return context.members.with(isThere ? { ...known, restart } : { id, restart, state });
      },
    }),
    count: assign(({ context, event }) => {
      const failed = event as EventOf<"member.ended" | "member.startFailed">;
      if (!counts(context, failed)) return {};
      return { restarts: recent(context, failed.at), lastMember: failed.id };
    }),
    noteEnd: assign({ members: ({ context, event }) => afterEnd(context, event as EventOf<"member.ended">) }),
    noteStop: assign({ members: ({ context, event }) => afterStop(context, (event as EventOf<"member.stopped">).id) }),
    noteStart: assign({
      members: ({ context, event }) => {
        const { id } = event as EventOf<"member.started">;
        const member = context.members.get(id);
        if (member?.state !== "starting") return context.members;
        return changed(context.members, id, member.why === undefined ? "up" : "marked", member.why);
      },
    }),
    /** Somebody else has brought it back. */
    noteReturn: assign({
      members: ({ context, event }) => {
        const { id } = event as EventOf<"member.returned">;
        return context.members.get(id)?.state === "ended" ? changed(context.members, id, "up") : context.members;
      },
    }),
    /** It is down still, and has to be stopped or started once more. */
    noteNoStart: assign({
      members: ({ context, event }) => {
        const { id } = event as EventOf<"member.startFailed">;
        const member = context.members.get(id);
        if (member?.state !== "starting") return context.members;
        return changed(context.members, id, member.why === undefined ? "waiting" : "marked", member.why);
      },
    }),
    noteDue: assign({
      members: ({ context, event }) => {
        const { id } = event as EventOf<"member.due">;
        return context.members.get(id)?.state === "waiting" ? changed(context.members, id, "due") : context.members;
      },
    }),
    markOne: assign({
      members: ({ context: { members }, event }) => {
        const member = members.get((event as EventOf<"member.stop">).id);
        return member === undefined ? members : markedForEnd(members, [member], "asked");
      },
    }),
    restartOne: assign({
      members: ({ context, event }) => {
        const { id } = event as EventOf<"member.restart">;
        return context.members.get(id)?.state === "ended" ? changed(context.members, id, "due") : context.members;
      },
    }),
    drop: assign({ members: ({ context, event }) => context.members.without((event as EventOf<"member.drop">).id) }),
    markAllForIntensity: enqueueActions(({ context, enqueue }) => markAll(context, "intensity", enqueue)),
    markAllForGroup: enqueueActions(({ context, enqueue }) => markAll(context, "group", enqueue)),
    forgetRestarts: assign({ restarts: [] }),
    /** Those that ended with the group; the work of others was done, or somebody wanted their end. */
    revive: assign({
      members: ({ context: { members } }) => {
        let revived = members;
        for (const { id, restart, why } of members)
          if (why === "intensity" || why === "group") revived = revived.with({ id, restart, state: "due" });
        return revived;
      },
    }),
    /** A member that waits is woken when its back-off is over. */
    backOff: enqueueActions(({ context, event, enqueue }) => {
      const { id, chance = 0 } = event as EventOf<"member.ended" | "member.startFailed" | "member.startRefused">;
      if (context.members.get(id)?.state !== "waiting") return;
      enqueue.cancel(`due ${id}`);
      enqueue.raise({ type: "member.due", id }, { delay: delayOf(context, chance), id: `due ${id}` });
    }),
    /** Who has left is told of, before what follows. */
    tellOfLeaving: enqueueActions(({ context, event, enqueue }) => {
      if ("id" in event && context.members.get(event.id) === undefined)
        enqueue.emit({ type: "member.left", id: event.id });
    }),
    goOn: enqueueActions(({ context, enqueue }) => goOn(context, "running", enqueue)),
    stopOn: enqueueActions(({ context, enqueue }) => goOn(context, "ending", enqueue)),
    tellOfGivingUp: emit(({ context }) => ({
      type: "group.gaveUp",
      lastMember: context.lastMember,
      restarts: context.restarts.length,
    })),
    tellOfStop: emit({ type: "group.stopped" }),
  },
});

type Enqueue = {
  assign(changed: Partial<GroupContext>): void;
  cancel(timer: string): void;
  emit(emitted: GroupEmitted): void;
};

function goOn(context: GroupContext, mode: "running" | "ending", enqueue: Enqueue): void {
  const next = nextOf(context, mode === "running");
  if (next?.type === "member.stop") {
    enqueue.assign({ members: changed(context.members, next.id, "stopping", next.why) });
  } else if (next?.type === "member.start") {
    enqueue.assign({ members: changed(context.members, next.id, "starting") });
  }
  enqueue.emit({ type: "group.changed" });
  if (next !== undefined) enqueue.emit(next);
}

function markAll({ members }: GroupContext, why: StopReason, enqueue: Enqueue): void {
  for (const { id } of members.of("waiting")) enqueue.cancel(`due ${id}`);
  enqueue.assign({ members: markedForEnd(members, members.of("living"), why) });
}

/** While it ends, nothing starts any more. */
const ending = {
  on: {
    "member.ended": { actions: ["noteEnd", "tellOfLeaving", "stopOn"] },
    "member.stopped": { actions: ["noteStop", "tellOfLeaving", "stopOn"] },
    "member.started": { actions: ["noteStart", "stopOn"] },
    "member.startFailed": { actions: ["noteNoStart", "stopOn"] },
    "member.startRefused": { actions: ["noteNoStart", "stopOn"] },
    "member.drop": { actions: ["drop", "tellOfLeaving", "stopOn"] },
  },
} as const;

/** By hand its restarts count on; where the group above restarts it, they begin anew, as those of a new supervisor. */
const revival = {
  "group.revive": { target: "running", actions: "revive" },
  "group.restart": { target: "running", actions: ["revive", "forgetRestarts"] },
} as const;

/**
 * What the end of a member of a group comes to: strategy, order and intensity of OTP's supervisors. Pure: it decides, and whoever runs it
 * stops and starts.
 */
export const groupMachine = machine.createMachine({
  id: "group",
  context: ({ input: { members = [], ...input } }) => ({
    ...{ jitter: 0, restarts: [], state: "running", ...input },
    ...{ members: Roster.of(members), lastMember: null },
  }),
  initial: "opening",
  states: {
    opening: {
      always: [
        { guard: "hadGivenUp", target: "gaveUp" },
        { guard: "hadStopped", target: "stopped" },
        { target: "running" },
      ],
    },
    running: {
      entry: "goOn",
      on: {
        "member.joined": { actions: ["join", "goOn"] },
        "member.ended": [
          { guard: "exceedsIntensity", target: "givingUp", actions: ["count", "noteEnd"] },
          { actions: ["count", "noteEnd", "tellOfLeaving", "backOff", "goOn"] },
        ],
        "member.startFailed": [
          { guard: "exceedsIntensity", target: "givingUp", actions: ["count", "noteNoStart"] },
          { actions: ["count", "noteNoStart", "backOff", "goOn"] },
        ],
        "member.startRefused": { actions: ["noteNoStart", "backOff", "goOn"] },
        "member.due": { actions: ["noteDue", "goOn"] },
        "member.started": { actions: ["noteStart", "goOn"] },
        "member.returned": { actions: ["noteReturn", "goOn"] },
        "member.stopped": { actions: ["noteStop", "tellOfLeaving", "goOn"] },
        "member.stop": { actions: ["markOne", "goOn"] },
        "member.restart": { actions: ["restartOne", "goOn"] },
        "member.drop": { actions: ["drop", "tellOfLeaving", "goOn"] },
        "group.stop": "stopping",
      },
    },
    givingUp: {
      ...ending,
      entry: ["markAllForIntensity", "stopOn"],
      always: { guard: "nobodyLives", target: "gaveUp" },
    },
    gaveUp: {
      entry: "tellOfGivingUp",
      on: { ...revival, "group.stop": "stopped", "member.drop": { actions: ["drop", "tellOfLeaving", "stopOn"] } },
    },
    stopping: {
      ...ending,
      entry: ["markAllForGroup", "stopOn"],
      always: { guard: "nobodyLives", target: "stopped" },
    },
    stopped: {
      entry: "tellOfStop",
      on: { ...revival, "member.drop": { actions: ["drop", "tellOfLeaving", "stopOn"] } },
    },
  },
});
