import type { MethodTable } from "../method.ts";
import type { ServerContext } from "../server-context.ts";

/** Everything that v1 is spoken with. */
export const v1Methods = (_server: ServerContext): MethodTable => ({});
