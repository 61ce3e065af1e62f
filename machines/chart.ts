/** What a machine is, as plain data: its states and transitions by name, read from the machine itself, for whoever draws it. */
import type { AnyActorLogic, AnyStateMachine, AnyStateNode, StateValue } from "xstate";

/** One state. Its id is its path from the machine's root: `open.idle.ready`; the root's is `""`. */
export type ChartState = {
  readonly id: string;
  readonly key: string;
  readonly type: "atomic" | "compound" | "parallel" | "final" | "history";
  readonly tags: readonly string[];
  /** Names of actions. */
  readonly entry: readonly string[];
  readonly exit: readonly string[];
  readonly invokes: readonly { readonly id: string; readonly src: string }[];
  /** The state among its own that is entered first. */
  readonly initial: string | undefined;
  readonly states: readonly ChartState[];
};

/** One way from a state; `to` is undefined where it only acts. */
export type ChartTransition = {
  readonly from: string;
  readonly to: string | undefined;
  /** In a reader's words: `op.submit`, `done: turn`, `error: turn`, `after 100 ms`, `always`. */
  readonly event: string;
  /** Names of guards, joined as they are: `isInput && !hasQueuedTask`. */
  readonly guard: string | undefined;
  readonly actions: readonly string[];
  /** Whether it leaves and enters its own state. */
  readonly reenters: boolean;
};

/** A machine, as data. */
export type Chart = {
  readonly id: string;
  readonly root: ChartState;
  /** In the order in which the machine looks at them. */
  readonly transitions: readonly ChartTransition[];
};

/** Reads a machine. */
export function chartOf(machine: AnyStateMachine): Chart {
  const transitions: ChartTransition[] = [];
  const root = stateOf(machine.root, transitions);
  return { id: machine.id, root, transitions };
}

/** The ids of all states that a snapshot's `value` is in, outer ones first. */
export function activeStates(value: StateValue, parent = ""): string[] {
  if (typeof value === "string") return [below(parent, value)];
  return Object.entries(value).flatMap(([key, inner]) => {
    const id = below(parent, key);
    return inner === undefined ? [id] : [id, ...activeStates(inner, id)];
  });
}

const below = (parent: string, key: string): string => (parent === "" ? key : `${parent}.${key}`);

const idOf = (node: AnyStateNode): string => node.path.join(".");

function stateOf(node: AnyStateNode, transitions: ChartTransition[]): ChartState {
  const id = idOf(node);
  const sources = new Map(node.invoke.map(({ id: name, src }) => [name, sourceName(src)]));
  const sourceOf = (name: string) => (isGenerated(name) ? (sources.get(name) ?? name) : name);
  for (const { target, eventType, guard, actions, reenter } of [
    ...(node.always ?? []),
    ...[...node.transitions.values()].flat(),
  ]) {
    const [to] = target ?? [];
    transitions.push({
      from: id,
      to: to === undefined ? undefined : idOf(to),
      event: eventName(eventType, sourceOf),
      guard: guard === undefined ? undefined : guardName(guard),
      actions: actions.map(nameOf),
      reenters: reenter,
    });
  }
  const first = node.initial?.target?.[0];
  return {
    id,
    key: node.key,
    type: node.type,
    tags: [...node.tags],
    entry: actionsOf(node, node.entry),
    exit: actionsOf(node, node.exit),
    invokes: node.invoke.map(({ id: name, src }) => ({ id: sourceOf(name), src: sourceName(src) })),
    initial: first === undefined ? undefined : idOf(first),
    states: Object.values(node.states).map((child) => stateOf(child, transitions)),
  };
}

/** XState names an invoked actor that has no name of its own by its place and its state. */
const isGenerated = (name: string): boolean => /^\d+\./.test(name);

/** A delayed transition is a timer that XState sets on entry and clears on exit: it is shown as the transition that it is. */
function actionsOf(node: AnyStateNode, actions: readonly unknown[]): string[] {
  const names = actions.map(nameOf);
  if (node.after.length === 0) return names;
  return names.filter((name) => name !== "xstate.raise" && name !== "xstate.cancel");
}

/** XState names its own events `xstate.done.actor.ID`, `xstate.after.DELAY.STATE` and so on. */
function eventName(type: string, sourceOf: (actor: string) => string): string {
  if (type === "") return "always";
  const [, kind, ...rest] = type.startsWith("xstate.") ? type.split(".") : [];
  if (kind === "after") return /^\d+$/.test(rest[0] ?? "") ? `after ${rest[0]} ms` : `after ${rest[0]}`;
  if (kind !== "done" && kind !== "error") return type;
  return rest[0] === "state" ? "done" : `${kind}: ${sourceOf(rest.slice(1).join("."))}`;
}

type Named = string | { readonly type?: unknown; readonly name?: unknown } | ((...args: never[]) => unknown);

function nameOf(thing: unknown): string {
  const named = thing as Named;
  if (typeof named === "string") return named;
  if ("type" in named && typeof named.type === "string") return named.type;
  return typeof named.name === "string" && named.name !== "" ? named.name : "inline";
}

const sourceName = (src: string | AnyActorLogic): string => (typeof src === "string" ? src : "inline");

/** What `and`, `or` and `not` make is a function of that name, which has the guards that it joins. */
function guardName(guard: unknown, isInner = false): string {
  const parts: unknown = typeof guard === "function" && "guards" in guard ? guard.guards : undefined;
  if (!Array.isArray(parts)) return nameOf(guard);
  const names = parts.map((part) => guardName(part, true));
  const joint = (guard as { name: string }).name;
  if (joint === "not") return `!${names.join("")}`;
  const text = names.join(joint === "and" ? " && " : " || ");
  return isInner ? `(${text})` : text;
}
