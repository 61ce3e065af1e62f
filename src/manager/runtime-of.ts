import type { AgentThreads } from "./threads.ts";

/** Which threads are behind a manager. Only code in here can ask: no member of ThreadManager, and no public type, shows it. */
const runtimes = new WeakMap<object, AgentThreads>();

export const bindRuntime = (holder: object, runtime: AgentThreads): void => void runtimes.set(holder, runtime);

export const runtimeOf = (holder: object): AgentThreads | undefined => runtimes.get(holder);
