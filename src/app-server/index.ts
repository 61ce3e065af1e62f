import "../node-version.ts";

export { type AppServer, createAppServer } from "./app-server.ts";
export type { AppServerOptions } from "./app-server-options.ts";
export type { ClientInfo, Connection } from "./client.ts";
export type { ConnectionLimits, OutboxLimits } from "./connection-limits.ts";
export { createGoalTools, type GoalTools } from "./memos/goal-tools.ts";
export type { Access } from "./studio/wire.ts";
export type { AdmissionLimits } from "./transports/admission.ts";
export type { ListenAuth, Listener, PageDoor, Refusal } from "./transports/listener.ts";
export { type ClientEnd, linkedWires, type Wire, type WireListener } from "./wire.ts";
