import * as z from "zod";
import { type MethodTable, method } from "../method.ts";
import type { ServerContext } from "../server-context.ts";

/** How the server's process is, for whoever asks. */
export const diagnosticMethods = ({ manager }: ServerContext): MethodTable => ({
  "server/diagnostics": method({
    params: z.object({}),
    experimental: true,
    handle: async () => ({
      process: { id: process.pid, residentMemoryBytes: process.memoryUsage.rss(), physicalFootprintBytes: null },
      gauges: [{ name: "core.threads.live", value: (await manager.listThreadIds()).length }],
    }),
  }),
});
