/** A process that writes threads until it is killed: it prints each line's number once the store has acknowledged it. */
import { assistantMessage } from "../../src/protocol/response-item.ts";
import { header } from "../../src/store/contract/store-script.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";

const [connectionString = "", schema = "", id = ""] = process.argv.slice(2);
const store = postgresStore({ connectionString, schema });
const writer = await store.create({ ...header(), id: id as never });
for (let n = 0; ; n += 1) {
  writer.append({ type: "response_item", payload: assistantMessage(`line ${n}`) });
  await writer.flush();
  process.stdout.write(`${n}\n`);
}
