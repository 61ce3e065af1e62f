/**
 * `race`: opens threads again and again against others, and says which lines it was told are stored.
 * `hold`: opens one thread and appends until somebody takes it over.
 */
import { writeSync } from "node:fs";
import { SkeinError, ThreadBusyError } from "../../../src/protocol/errors.ts";
import type { ThreadId } from "../../../src/protocol/ids.ts";
import { user } from "../../../src/store/contract/store-script.ts";
import { fileStore } from "../../../src/store/file/file-store.ts";

const say = (...words: unknown[]): void => void writeSync(1, `${JSON.stringify(words)}\n`);
const [, , home = "", mode, ids = "", rounds = "40"] = process.argv;
const store = fileStore({ home, fsync: "never" });
const threads = ids.split(",") as ThreadId[];

async function race(): Promise<void> {
  let line = 0;
  for (let round = 0; round < Number(rounds); round += 1) {
    const id = threads[round % threads.length] as ThreadId;
    const lease = round % 10 === 9 ? "takeOver" : "refuse";
    try {
      const writer = await store.open(id, { lease });
      say("epoch", id, writer.epoch);
      for (let n = 0; n < 3; n += 1) {
        const text = `${process.pid}-${line++}`;
        writer.append(user(text));
        await writer.flush();
        say("stored", id, text);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await writer.close();
    } catch (error) {
      if (!(error instanceof ThreadBusyError)) throw error;
      say("busy", id, error.owner?.pid ?? null);
    }
  }
  await store.close();
}

async function hold(): Promise<void> {
  const [id] = threads;
  if (id === undefined) return;
  const writer = await store.open(id, {
    onFailure: (error) => say("failed", error instanceof SkeinError ? error.code : ""),
  });
  say("epoch", id, writer.epoch);
  for (let line = 0; ; line += 1) {
    const text = `${process.pid}-${line}`;
    writer.append(user(text));
    try {
      await writer.flush();
    } catch {
      await store.close();
      return;
    }
    say("stored", id, text);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

await (mode === "race" ? race() : hold());
