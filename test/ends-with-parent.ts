/** Imported into a child before its own program: it ends once whoever has started it is gone, however that one ended. */
import { Socket } from "node:net";

// The system ends the pipe with its other side. What the child does keeps it alive, not this.
new Socket({ fd: 0 })
  .on("error", () => undefined)
  .once("close", () => process.kill(process.pid, "SIGKILL"))
  .resume()
  .unref();
