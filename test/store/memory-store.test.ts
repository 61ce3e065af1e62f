import { storeContract } from "../../src/store/contract/store-contract.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";

storeContract("memoryStore", async () => {
  const store = memoryStore();
  return { store, dispose: () => store.close() };
});
