import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeContract } from "../../../src/store/contract/store-contract.ts";
import { fileStore } from "../../../src/store/file/file-store.ts";

for (const newFiles of ["at-start", "with-first-line"] as const) {
  storeContract(
    `the file store, new files ${newFiles}`,
    async () => {
      const home = mkdtempSync(join(tmpdir(), "skein-store-"));
      const stores = [fileStore({ home, fsync: "never", newFiles })];
      const [store] = stores;
      if (store === undefined) throw new Error("no store");
      return {
        store,
        reopen: async () => {
          const next = fileStore({ home, fsync: "never", newFiles });
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
}
