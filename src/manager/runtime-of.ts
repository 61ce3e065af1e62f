import type { ManagerRuntime } from "./runtime.ts";

/** Which runtime works behind a manager. Only code in here can ask: no member of ThreadManager, and no public type, shows it. */
const runtimes = new WeakMap<object, ManagerRuntime>();

export const bindRuntime = (holder: object, runtime: ManagerRuntime): void => void runtimes.set(holder, runtime);

export const runtimeOf = (holder: object): ManagerRuntime | undefined => runtimes.get(holder);
