/**
 * A process of a storm: it takes threads from others, writes, forks, and is killed at any time. It prints a line of JSON for
 * whatever its store has acknowledged, and only then.
 */
import { ThreadBusyError } from "../../src/protocol/errors.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { assistantMessage } from "../../src/protocol/response-item.ts";
import { header } from "../../src/store/contract/store-script.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";

const [connectionString = "", schema = "", who = "", ...threads] = process.argv.slice(2);
const store = postgresStore({ connectionString, schema, maxConnections: 3 });
const tell = (acknowledged: object): boolean => process.stdout.write(`${JSON.stringify(acknowledged)}\n`);
const pick = <T>(all: readonly T[]): T => all[Math.floor(Math.random() * all.length)] as T;

async function turn(id: ThreadId): Promise<void> {
  const writer = await store.open(id, { lease: Math.random() < 0.7 ? "takeOver" : "refuse" });
  try {
    for (let n = 0; n < 5; n += 1) {
      const text = `${writer.epoch}/${who}/${n}`;
      writer.append({ type: "response_item", payload: assistantMessage(text) });
      await writer.flush();
      tell({ id, text });
    }
  } finally {
    await writer.close();
  }
}

async function fork(id: ThreadId): Promise<void> {
  const base = await store.forkBase(id, "full");
  if (base === undefined) return;
  const writer = await store.fork(header(), base);
  tell({ fork: writer.threadId, of: id, end: base.inherits?.end.ordinal });
  await writer.close();
}

for (;;) {
  try {
    await (Math.random() < 0.15 ? fork : turn)(pick(threads) as ThreadId);
  } catch (error) {
    // Another has the thread, or the connection was cut: what was acknowledged before is told already.
    if (!(error instanceof ThreadBusyError)) await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
