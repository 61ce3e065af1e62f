/** `skein/cluster`: threads over many machines. Restate carries the messages, a shared store holds the histories. */
import "../node-version.ts";

export type { ServerAnswer, ServerAsk, ToolAsk } from "../protocol/server-ask.ts";
export type { Cluster, StartedAgent } from "./cluster-face.ts";
export type { ClusterSubscription, ClusterThread } from "./cluster-thread.ts";
export { type ConnectOptions, connect } from "./connect.ts";
export type { Listening, ListenOptions } from "./listening.ts";
export {
  createWorker,
  type DrainOptions,
  type DrainReport,
  type Worker,
  type WorkerOptions,
} from "./worker.ts";
