/** What threads and managers of one process have beside what a cluster offers, and why it is refused there. */
import type { ThreadManager } from "../manager/thread-manager.ts";
import type { Threads } from "../manager/threads-face.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { INSPECT } from "../protocol/shown-as.ts";
import type { Thread } from "../thread/thread.ts";
import type { ClusterThread } from "./cluster-thread.ts";

/** How it fails: as a value that is read, as a call, or as a promise. */
type Refusal = readonly [kind: "value" | "call" | "promise", why: string];
type Refusals<Name extends PropertyKey> = { readonly [N in Name & string]: Refusal };

const TIMERS =
  "the engine keeps the timers, and a handle is told of none that others have set; keep what schedule gives";

/** Whoever adds a member to Thread decides here, or in ClusterThread, what it is over a cluster. */
export const REFUSED_OF_THREADS: Refusals<Exclude<keyof Thread, keyof ClusterThread>> = {
  actor: ["value", "its actor is on the worker that runs it"],
  terminals: ["value", "background commands are the worker's, and end with the turn's invocation"],
  timers: ["value", TIMERS],
};

const ALL = "no process hears all threads of a cluster; follow the threads that you hold";
const WORKERS = "it is each worker's own; ask the worker's manager";
const STORE = "give `connect` the store that the workers share, and ask that";
const HOME = "settings, credentials, skills and models are the workers' own";

export const REFUSED_OF_MANAGERS: Refusals<
  Exclude<keyof ThreadManager, keyof Threads | "send" | "request" | "publish" | "toJSON" | typeof INSPECT>
> = {
  supervisor: ["value", WORKERS],
  store: ["value", STORE],
  resumeThreadFromRollout: ["promise", "a rollout file is on one machine; resume the thread by its id"],
  resumeThreadWithHistory: ["promise", "fork from the history: forkThread({ from: { history } })"],
  loadedThread: ["call", WORKERS],
  listThreadIds: ["promise", WORKERS],
  recoverThreads: ["promise", "the cluster goes on with open turns by itself"],
  published$: ["call", "no process hears all of a cluster; have a thread of the tree subscribe to the topic"],
  mailOf: ["promise", "it stands beside its receiver, in the store; ask the worker's manager"],
  listModels: ["promise", HOME],
  config: ["value", HOME],
  environment: ["value", HOME],
  sessionSource: ["value", HOME],
  authManager: ["value", HOME],
  modelsManager: ["value", HOME],
  skillsManager: ["value", HOME],
  priceOf: ["call", HOME],
  parentOf: ["call", "listThreads({ parentThreadId }) tells who is under a thread"],
  agentControl: ["call", WORKERS],
  group: ["promise", "a group is supervised in one process; the cluster itself starts what has failed again"],
  escalations$: ["value", ALL],
  threadCreated$: ["value", ALL],
  threadClosed$: ["value", ALL],
  threadCrashed$: ["value", ALL],
  deadLetters$: ["value", ALL],
  deadLetters: ["value", ALL],
  events$: ["value", ALL],
  questionAnswered$: ["value", ALL],
  pendingApprovals: ["call", "a thread that is followed has them as `pendingApprovals`"],
  capacity: ["call", WORKERS],
  restartsOf: ["call", WORKERS],
  tree: ["promise", "listThreads({ parentThreadId, sourceKinds }) tells who is under a thread"],
  shutdownTree: ["promise", "shut the thread down; agents of its turns end with them"],
};

/** Gives a class the members that it refuses, so that a program that was not checked by types is told why. */
export function refuseMembers(prototype: object, table: Readonly<Record<string, Refusal>>): void {
  for (const [name, [kind, why]] of Object.entries(table)) {
    const error = () => new InvalidRequestError(`${name} is not there over a cluster: ${why}`);
    const fail = (): never => {
      throw error();
    };
    const member = kind === "value" ? { get: fail } : { value: kind === "call" ? fail : () => Promise.reject(error()) };
    Object.defineProperty(prototype, name, { ...member, configurable: true });
  }
}
