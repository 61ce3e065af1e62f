/** What every ThreadStore keeps, whatever it stores to. Written against the port alone, for node:test. */
import { describe } from "node:test";
import { forkSuite } from "./store-forks.ts";
import { leaseSuite } from "./store-leases.ts";
import { lineageSuite } from "./store-lineage.ts";
import { listSuite } from "./store-lists.ts";
import { modelSuite } from "./store-model.ts";
import { noteSuite } from "./store-notes.ts";
import type { MakeStore } from "./store-script.ts";
import { threadSuite } from "./store-threads.ts";
import { valueSuite } from "./store-values.ts";

/** How the contract is tried. */
export type StoreContractOptions = {
  /** How many random histories are played, where `fast-check` is installed. Default 200. */
  readonly modelRuns?: number;
};

/**
 * Registers with node:test the tests that every store has to pass. To be called from a test file; it runs with `node --test`.
 *
 * @param make gives each test a store of its own, empty; what tests leave open is closed by `dispose`
 */
export function storeContract(name: string, make: MakeStore, options: StoreContractOptions = {}): void {
  describe(`${name} keeps the store contract`, () => {
    describe("threads", () => threadSuite(make));
    describe("forks", () => forkSuite(make));
    describe("lineage and removal", () => lineageSuite(make));
    describe("leases", () => leaseSuite(make));
    describe("lists", () => listSuite(make));
    describe("values of every kind", () => valueSuite(make));
    describe("standing notes", () => noteSuite(make));
    describe("any history", () => modelSuite(make, options.modelRuns ?? 200));
  });
}
