/** What every ThreadStore keeps, whatever it stores to. Written against the port alone. */
import { describe } from "node:test";
import { forkSuite } from "./store-forks.ts";
import { leaseSuite } from "./store-leases.ts";
import { lineageSuite } from "./store-lineage.ts";
import { listSuite } from "./store-lists.ts";
import { modelSuite } from "./store-model.ts";
import { noteSuite } from "./store-notes.ts";
import type { MakeStore } from "./store-script.ts";
import { threadSuite } from "./store-threads.ts";

export type StoreContractOptions = {
  /** How many random histories the model test plays. */
  readonly modelRuns?: number;
};

export function storeContract(name: string, make: MakeStore, options: StoreContractOptions = {}): void {
  describe(`${name} keeps the store contract`, () => {
    describe("threads", () => threadSuite(make));
    describe("forks", () => forkSuite(make));
    describe("lineage and removal", () => lineageSuite(make));
    describe("leases", () => leaseSuite(make));
    describe("lists", () => listSuite(make));
    describe("standing notes", () => noteSuite(make));
    describe("any history", () => modelSuite(make, options.modelRuns ?? 200));
  });
}
