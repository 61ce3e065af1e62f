import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { storeContract } from "../contract/store-contract.ts";

storeContract("memoryStore", async () => {
  const store = memoryStore();
  return { store, dispose: () => store.close() };
});
