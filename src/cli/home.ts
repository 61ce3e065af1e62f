import { fileStore } from "../store/file/file-store.ts";
import type { MovableStore } from "../store/movable-store.ts";
import { openDatabase, storeUrlOf } from "./database.ts";
import { type HomeOption, homeOf } from "./home-folder.ts";
import type { Io } from "./terminal/io.ts";
import { Progress } from "./terminal/progress.ts";

/** Opens the threads of a home, or of the database that is named, for a while. */
export async function withStore<T>(option: HomeOption, io: Io, use: (store: MovableStore) => Promise<T>): Promise<T> {
  const url = storeUrlOf(option, io);
  return url === undefined ? withFiles(homeOf(option, io), io, use) : closing(await openDatabase(url), use);
}

/** What a catalog that is missing or stale has to read first is shown. */
export async function withFiles<T>(home: string, io: Io, use: (store: MovableStore) => Promise<T>): Promise<T> {
  using progress = new Progress(io);
  const store = fileStore({
    home,
    onScanProgress: ({ files, changed, done }) => {
      if (!done && changed > 0) progress.show(() => `${files.toLocaleString("en")} files seen, ${changed} read`);
    },
  });
  return await closing(store, use);
}

async function closing<S extends MovableStore, T>(store: S, use: (store: S) => Promise<T>): Promise<T> {
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}
