/** A bare worker: a handler that echoes, and says whom it came to. What a cluster costs is told beside it. */
import { createServer } from "node:http2";
import { createEndpointHandler, type ObjectContext, object } from "@restatedev/restate-sdk";

const [port = "0", name = "w"] = process.argv.slice(2);
const echo = object({
  name: "Echo",
  handlers: {
    echo: async (_: ObjectContext, text: string) => ({ text, by: name }),
    slow: async (ctx: ObjectContext, ms: number) => {
      await ctx.run("wait", () => new Promise<void>((resolve) => setTimeout(resolve, ms)));
      return { by: name };
    },
  },
});
let isDraining = false;
process.on("SIGUSR2", () => {
  isDraining = !isDraining;
});
const handle = createEndpointHandler({ services: [echo] });
createServer((request, response) => {
  if (request.url !== "/skein/health") return handle(request, response);
  response.writeHead(isDraining ? 503 : 200);
  response.end();
}).listen(Number(port), "127.0.0.1", () => process.stdout.write("listening\n"));
