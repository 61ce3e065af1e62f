import { fileSearchMethods } from "../file-search/file-search.ts";
import { fileSearchSessionMethods } from "../file-search/sessions.ts";
import type { MethodTable } from "../method.ts";
import type { ServerContext } from "../server-context.ts";
import { accountMethods } from "./account.ts";
import { approvedPlanMethods } from "./approved-plan.ts";
import { attachmentMethods } from "./attachments.ts";
import { terminalMethods } from "./background-terminals.ts";
import { catalogMethods } from "./catalogs.ts";
import { commandMethods } from "./command-exec/methods.ts";
import { processMethods } from "./command-exec/processes.ts";
import { configMethods } from "./config.ts";
import { diagnosticMethods } from "./diagnostics.ts";
import { environmentMethods } from "./environments.ts";
import { fileMethods } from "./files/methods.ts";
import { goalMethods } from "./goals.ts";
import { initializeMethods } from "./initialize.ts";
import { mcpMethods } from "./mcp-servers.ts";
import { notServedMethods } from "./not-served.ts";
import { nothingThereMethods } from "./nothing-there.ts";
import { providerMethods } from "./providers.ts";
import { queueMethods } from "./queue.ts";
import { reviewMethods } from "./review.ts";
import { sectionMethods } from "./sections.ts";
import { skillMethods } from "./skills.ts";
import { threadEditMethods } from "./thread-edit.ts";
import { threadReadMethods } from "./thread-read.ts";
import { threadSearchMethods } from "./thread-search.ts";
import { threadSettingsMethods } from "./thread-settings.ts";
import { threadStartMethods } from "./thread-start.ts";
import { timelineMethods } from "./timeline.ts";
import { turnMethods } from "./turns.ts";

/** Everything that v2 is spoken with. */
export const v2Methods = (server: ServerContext): MethodTable => ({
  ...initializeMethods(server),
  ...threadStartMethods(server),
  ...threadSettingsMethods(server),
  ...threadReadMethods(server),
  ...threadSearchMethods(server),
  ...timelineMethods(server),
  ...threadEditMethods(server),
  ...turnMethods(server),
  ...approvedPlanMethods(server),
  ...goalMethods(server),
  ...queueMethods(server),
  ...attachmentMethods(server),
  ...sectionMethods(server),
  ...reviewMethods(server),
  ...terminalMethods(server),
  ...catalogMethods(server),
  ...mcpMethods(server),
  ...skillMethods(server),
  ...commandMethods(server),
  ...processMethods(server),
  ...environmentMethods(server),
  ...fileMethods(server),
  ...configMethods(server),
  ...accountMethods(server),
  ...providerMethods(server),
  ...fileSearchMethods(server),
  ...fileSearchSessionMethods(server),
  ...diagnosticMethods(server),
  ...nothingThereMethods(server),
  ...notServedMethods,
});
