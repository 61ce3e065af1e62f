import { type FileSystem, nodeFileSystem } from "../../../src/store/file/file-system.ts";

/** The machine's, until the n-th change of a file or folder: that one is half done, and the process killed in it. */
export function dyingFileSystem(diesAt: number): FileSystem {
  let changes = 0;
  const die = (): never => {
    process.kill(process.pid, "SIGKILL");
    for (;;);
  };
  const counted =
    <A extends unknown[], R>(change: (...args: A) => R) =>
    (...args: A): R => {
      changes += 1;
      if (changes >= diesAt && changes % 2 === 0) die();
      const done = change(...args);
      if (changes >= diesAt) die();
      return done;
    };
  const { write, truncate, makeFolder, rename, link, copy, remove } = nodeFileSystem;
  return {
    ...nodeFileSystem,
    write(fd, bytes, offset, length) {
      changes += 1;
      if (changes < diesAt) return write(fd, bytes, offset, length);
      write(fd, bytes, offset, Math.floor((length * (changes % 4)) / 3));
      return die();
    },
    truncate: counted(truncate),
    makeFolder: counted(makeFolder),
    rename: counted(rename),
    link: counted(link),
    copy: counted(copy),
    remove: counted(remove),
  };
}
