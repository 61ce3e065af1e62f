/** Starts both engines, says where they are, and waits to be killed. */
import { engineCache } from "../../src/cli/engines/engine-package.ts";
import { PostgresEngine } from "../../src/cli/engines/postgres-engine.ts";
import { RestateEngine } from "../../src/cli/engines/restate-engine.ts";

const host = { cache: engineCache(process.env) };
const [postgres, restate] = await Promise.all([PostgresEngine.create(host), RestateEngine.create(host)]);
const folders = [postgres.place.folder, restate.place.folder];
const ports = [postgres.place.port, ...Object.values(restate.place.ports)];
process.stdout.write(`${JSON.stringify({ folders, ports })}\n`);
setInterval(() => undefined, 60_000);
