import type { MethodTable } from "../method.ts";
import type { ServerContext } from "../server-context.ts";
import { conversationMethods } from "./conversations.ts";
import { gitDiffMethods } from "./git-diff.ts";
import { listenerMethods } from "./listeners.ts";
import { oneOffMethods } from "./one-off-command.ts";
import { savedConfigMethods } from "./saved-config.ts";
import { storedConversationMethods } from "./stored-conversations.ts";

/** Everything that v1 is spoken with; getAuthStatus is v2's as well, and stands there. */
export const v1Methods = (server: ServerContext): MethodTable => ({
  ...conversationMethods(server),
  ...storedConversationMethods(server),
  ...listenerMethods(server),
  ...savedConfigMethods(server),
  ...oneOffMethods(server),
  ...gitDiffMethods(server),
});
