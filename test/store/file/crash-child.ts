/** Writes turns and forks until it is killed, and says on fd 1 what it was told is stored. */
import { writeSync } from "node:fs";
import { newThreadId, type ThreadId } from "../../../src/protocol/ids.ts";
import { addTurn, header } from "../../../src/store/contract/store-script.ts";
import { fileStore } from "../../../src/store/file/file-store.ts";
import type { ThreadWriter } from "../../../src/store/thread-store.ts";
import { dyingFileSystem } from "./dying-file-system.ts";

const say = (word: string, ...rest: unknown[]): void => void writeSync(1, `${JSON.stringify([word, ...rest])}\n`);
const [, , home = "", again = "", diesAt = ""] = process.argv;
const dying = diesAt === "" ? {} : { fileSystem: dyingFileSystem(Number(diesAt)) };
const store = fileStore({ home, fsync: "never", ...dying });

/** Every text is written once in the life of the home, so what is lost or doubled is seen. */
async function work(lane: number): Promise<void> {
  let writer: ThreadWriter = await store.create(header({ id: newThreadId() }));
  say("made", writer.threadId, null);
  for (let turn = 0; ; turn += 1) {
    const text = `${process.pid}-${lane}-${turn}`;
    addTurn(writer, text);
    if (turn % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    await writer.flush();
    say("stored", writer.threadId, text);
    if (turn % 4 === 3) writer = await branch(writer);
    if (turn % 9 === 8) {
      const { threadId } = writer;
      await writer.close();
      writer = await store.open(threadId);
      say("epoch", threadId, writer.epoch);
    }
  }
}

async function branch(writer: ThreadWriter): Promise<ThreadWriter> {
  const base = await store.forkBase(writer.threadId, "full");
  if (base === undefined) throw new Error("nothing to fork");
  const fork = await store.fork(header(), base);
  say("made", fork.threadId, writer.threadId);
  await writer.close();
  return fork;
}

const resumed = again.split(",").filter((id) => id !== "") as ThreadId[];
for (const id of resumed) {
  const writer = await store.open(id);
  say("epoch", id, writer.epoch);
  addTurn(writer, `${process.pid}-again-${id}`);
  await writer.flush();
  say("stored", id, `${process.pid}-again-${id}`);
}
await Promise.all([0, 1, 2, 3].map(work));
