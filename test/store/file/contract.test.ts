import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeContract } from "../../../src/store/contract/store-contract.ts";
import { type FileStoreOptions, fileStore } from "../../../src/store/file/file-store.ts";
import { FaultyFileSystem } from "./faulty-file-system.ts";

/** A write may take a part of what it was given, and is no failure then. */
function slowDisk() {
  const disk = new FaultyFileSystem();
  disk.maxWriteBytes = 7;
  return disk.api;
}

const variants: Record<string, Partial<FileStoreOptions>> = {
  "new files at start": { newFiles: "at-start" },
  "new files with their first line": { newFiles: "with-first-line" },
  "a disk that takes seven bytes at a time": { fileSystem: slowDisk() },
};

for (const [name, options] of Object.entries(variants)) {
  storeContract(
    `the file store, ${name}`,
    async () => {
      const home = mkdtempSync(join(tmpdir(), "skein-store-"));
      const open = () => fileStore({ home, fsync: "never", ...options });
      const store = open();
      const stores = [store];
      return {
        store,
        reopen: async () => {
          const next = open();
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
