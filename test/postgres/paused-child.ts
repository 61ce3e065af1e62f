/** A process that writes a thread for as long as it has it, and says how it lost it. It is stopped and woken from outside. */
import { assistantMessage } from "../../src/protocol/response-item.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";

const [connectionString = "", schema = "", id = ""] = process.argv.slice(2);
const store = postgresStore({ connectionString, schema });
const writer = await store.open(id as never, { lease: "takeOver" });
for (let n = 0; ; n += 1) {
  writer.append({ type: "response_item", payload: assistantMessage(`paused ${n}`) });
  try {
    await writer.flush();
  } catch (error) {
    process.stdout.write(`lost ${(error as { code?: string }).code}\n`);
    break;
  }
  process.stdout.write(`${n}\n`);
  await new Promise((resolve) => setTimeout(resolve, 5));
}
writer.append({ type: "response_item", payload: assistantMessage("from the grave") });
await writer.close();
await store.close();
