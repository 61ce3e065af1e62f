/** The machines as they are, for whoever draws them. */
import { createHash } from "node:crypto";
import { type Chart, chartOf } from "../../../machines/chart.ts";
import { restartMachine, supervisorMachine, threadMachine, turnMachine } from "../../../machines/index.ts";

export type MachineCharts = { readonly etag: string; readonly machines: Readonly<Record<string, Chart>> };

let made: MachineCharts | undefined;

export function machineCharts(): MachineCharts {
  if (made !== undefined) return made;
  const charts = [threadMachine, turnMachine, supervisorMachine, restartMachine].map(chartOf);
  const machines = Object.fromEntries(charts.map((chart) => [chart.id, chart]));
  const etag = createHash("sha256").update(JSON.stringify(machines)).digest("hex").slice(0, 16);
  made = { etag, machines };
  return made;
}
