/** The machines as graphs, from the machines themselves. */
import { createHash } from "node:crypto";
import type { AnyStateMachine } from "xstate";
import { type DirectedGraphNode, toDirectedGraph } from "xstate/graph";
import { restartMachine, supervisorMachine, threadMachine, turnMachine } from "../../../machines/index.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";
import type { MachineState } from "./wire.ts";

type MachineName = "thread" | "turn" | "supervisor" | "restart";

const MACHINES: Readonly<Record<MachineName, AnyStateMachine>> = {
  thread: threadMachine,
  turn: turnMachine,
  supervisor: supervisorMachine,
  restart: restartMachine,
};

export type MachineGraphs = { readonly etag: string; readonly machines: Readonly<Record<MachineName, MachineState>> };

let made: MachineGraphs | undefined;

export function machineGraphs(): MachineGraphs {
  if (made !== undefined) return made;
  const entries = Object.entries(MACHINES).map(([name, machine]) => [name, stateOf(toDirectedGraph(machine))] as const);
  const machines = Object.fromEntries(entries) as Record<MachineName, MachineState>;
  const etag = createHash("sha256").update(JSON.stringify(machines)).digest("hex").slice(0, 16);
  made = { etag, machines };
  return made;
}

function stateOf(node: DirectedGraphNode): MachineState {
  const { key, type } = node.stateNode;
  return {
    id: node.id,
    key,
    type,
    children: node.children.map(stateOf),
    edges: node.edges.map(({ source, target, transition }) => ({
      from: source.id,
      to: target.id,
      event: eventName(transition.eventType),
      guard: guardName(transition.guard),
    })),
  };
}

/** XState names what an invoked actor comes to by its place in the machine, which the edge shows already. */
function eventName(type: string): string {
  if (type.startsWith("xstate.done.actor.")) return "done";
  if (type.startsWith("xstate.error.actor.")) return "error";
  if (type.startsWith("xstate.done.state.")) return "done";
  return type === "" ? "always" : type;
}

/** Combined guards (`and`, `or`, `not`) are functions that hold the names of theirs. */
function guardName(guard: unknown): string | null {
  if (guard === undefined) return null;
  if (typeof guard === "string") return guard;
  const { type, guards, check } = guard as { type?: unknown; guards?: unknown; check?: { name?: string } };
  if (Array.isArray(guards)) {
    const how = /or/i.test(check?.name ?? "") ? " or " : /not/i.test(check?.name ?? "") ? "not " : " and ";
    const names = guards.map((each) => guardName(each) ?? "…");
    return how === "not " ? `not ${names.join("")}` : names.join(how);
  }
  return isJsonObject(guard) && typeof type === "string" ? type : "…";
}
