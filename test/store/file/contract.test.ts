import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeContract } from "../../../src/store/contract/store-contract.ts";
import { fileStore } from "../../../src/store/file/file-store.ts";

storeContract(
  "the file store",
  async () => {
    const home = mkdtempSync(join(tmpdir(), "skein-store-"));
    const stores = [fileStore({ home, fsync: "never" })];
    const [store] = stores;
    if (store === undefined) throw new Error("no store");
    return {
      store,
      reopen: async () => {
        const next = fileStore({ home, fsync: "never" });
        stores.push(next);
        return next;
      },
      dispose: async () => {
        for (const opened of stores) await opened.close();
        rmSync(home, { recursive: true, force: true });
      },
    };
  },
  { modelRuns: 40 },
);
