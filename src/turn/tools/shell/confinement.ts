import type { ProcessEnvironment } from "../../../process/clean-environment.ts";
import type { ConfineOptions } from "../../../process/sandbox/confine.ts";
import type { CallContext } from "../call-context.ts";

/** How whatever a call starts is confined: by the turn's policy, in the thread's folders. */
export function confinementOf({ config, folders }: CallContext, environment: ProcessEnvironment): ConfineOptions {
  const { sandboxPolicy: policy, cwd, allowUnixSockets } = config;
  return { policy, cwd, environment, folders, profile: allowUnixSockets ? "private" : "strict" };
}
