/**
 * Aids for testing what is built on Skein: a scripted model, a store in memory, a clock that stands still, and what every
 * store has to keep.
 */
import "./node-version.ts";

export { type Clock, ManualClock } from "./kernel/clock.ts";
export {
  call,
  cut,
  fail,
  hang,
  type Play,
  raw,
  type Script,
  type Step,
  say,
  think,
  usage,
  wait,
} from "./model/script.ts";
export { type ScriptedClient, type ScriptedClientOptions, scriptedClient } from "./model/scripted-client.ts";
export {
  type StoreContractOptions,
  storeContract,
} from "./store/contract/store-contract.ts";
export type { MakeStore, StoreUnderTest } from "./store/contract/store-script.ts";
export { memoryStore } from "./store/memory/memory-store.ts";
