export { restartMachine } from "./restart.machine.ts";
export { supervisorMachine } from "./supervisor.machine.ts";
export { threadMachine } from "./thread.machine.ts";
export { turnMachine } from "./turn.machine.ts";
