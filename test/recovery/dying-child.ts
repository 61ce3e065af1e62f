/** Lives until each of the steps, says which thread it has there, and waits to be killed. */
import { fileStore } from "../../src/store/file/file-store.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { liveUntil } from "./lives.ts";
import { dyingSteps } from "./steps.ts";

const [kind, place = "", schema = "", ...folders] = process.argv.slice(2);
const store =
  kind === "file" ? fileStore({ home: place, fsync: "never" }) : postgresStore({ connectionString: place, schema });
setInterval(() => undefined, 60_000);
await Promise.all(
  folders.map(async (each) => {
    const [index, folder = ""] = each.split(":");
    const step = dyingSteps[Number(index)];
    if (step === undefined) throw new Error(`no step ${index}`);
    const { threadId } = await liveUntil(step, store, folder);
    process.stdout.write(`${index} ${threadId}\n`);
  }),
);
