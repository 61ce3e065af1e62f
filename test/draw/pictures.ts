/** The pictures of docs/machines, made from the machines themselves. */
import type { AnyStateMachine } from "xstate";
import { chartOf } from "../../machines/chart.ts";
import { groupMachine, restartMachine, supervisorMachine, threadMachine, turnMachine } from "../../machines/index.ts";
import { layOut } from "../../src/drawing/layout.ts";
import { svgOf } from "../../src/drawing/svg.ts";

const MACHINES: readonly AnyStateMachine[] = [
  supervisorMachine,
  threadMachine,
  turnMachine,
  restartMachine,
  groupMachine,
];

export const FOLDER = new URL("../../docs/machines/", import.meta.url);

/** Name of the file, and what is in it. */
export const pictures = (): [name: string, svg: string][] =>
  MACHINES.map((machine) => [`${machine.id}.svg`, svgOf(layOut(chartOf(machine)))]);
