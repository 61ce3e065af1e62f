import type { MethodTable } from "../method.ts";
import type { ServerContext } from "../server-context.ts";
import { conversationMethods } from "./conversations.ts";
import { listenerMethods } from "./listeners.ts";

/** Everything that v1 is spoken with; getAuthStatus is v2's as well, and stands there. */
export const v1Methods = (server: ServerContext): MethodTable => ({
  ...conversationMethods(server),
  ...listenerMethods(server),
});
