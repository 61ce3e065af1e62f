// A store of one's own, tried by the contract that the package brings: here one that hands everything on to memory's.
import { memoryStore, storeContract } from "skein/testing";

storeContract("an outsider's store", async () => {
  const inner = memoryStore();
  const store = new Proxy(inner, {
    get: (target, name) => {
      const member = Reflect.get(target, name, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  return { store, dispose: () => store.close() };
});
