/**
 * A bare worker: a handler that echoes, and says whom it came to; and one that does as little as a turn can. What a cluster costs is told beside both.
 * `echo-child.ts PORT NAME`; STORE and MODEL in its environment are a database and where a model answers.
 */
import { createServer } from "node:http2";
import { createEndpointHandler, type ObjectContext, object } from "@restatedev/restate-sdk";
import pg from "pg";

const [port = "0", name = "w"] = process.argv.slice(2);
const { STORE, MODEL = "" } = process.env;
const pool = new pg.Pool({ connectionString: STORE ?? "" });

/**
 * What a lone turn asks of the database and the model, each by one row and in the order in which it is waited for: statements as turn-steps-suite.ts counts
 * them, and a commit for each that writes.
 */
async function bareTurn(key: string): Promise<void> {
  const read = () => pool.query({ name: "read", text: "SELECT n FROM bare WHERE key = $1", values: [key] });
  const write = (row: string) => {
    const text = `INSERT INTO bare (key, row, n) VALUES ($1, $2, 1) ON CONFLICT (key, row) DO UPDATE SET n = bare.n + 1`;
    return pool.query({ name: "write", text, values: [key, row] });
  };
  await read();
  await write("lease");
  await read();
  await Promise.all([write("note"), read(), read(), read()]);
  const answer = fetch(`${MODEL}/responses`, { method: "POST", body: "{}" }).then((response) => response.text());
  await Promise.all([write("lines"), answer]);
  await write("lines");
  await write("lines");
  await Promise.all([write("note"), write("lease")]);
}

const echo = object({
  name: "Echo",
  handlers: {
    echo: async (_: ObjectContext, text: string) => ({ text, by: name }),
    turn: async (ctx: ObjectContext) => {
      await ctx.run("turn", () => bareTurn(ctx.key));
      return { by: name };
    },
  },
});
let isDraining = false;
process.on("SIGUSR2", () => {
  isDraining = !isDraining;
});
if (STORE !== undefined)
  await pool.query("CREATE TABLE IF NOT EXISTS bare (key text, row text, n integer NOT NULL, PRIMARY KEY (key, row))");
const handle = createEndpointHandler({ services: [echo] });
createServer((request, response) => {
  if (request.url !== "/skein/health") return handle(request, response);
  response.writeHead(isDraining ? 503 : 200);
  response.end();
}).listen(Number(port), "127.0.0.1", () => process.stdout.write("listening\n"));
