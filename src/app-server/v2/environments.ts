/** environment/*: where commands run. There is one place, the server's machine, under stock Codex's name for it. */
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import * as z from "zod";
import { USER_SHELL } from "../../turn/tools/shell/user-shell.ts";
import { type MethodTable, method } from "../method.ts";
import { text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";

const LOCAL = "local";
const idSchema = z.object({ environmentId: text });
const unknown = (id: string): string => `unknown environment id \`${id}\``;

export const environmentMethods = ({ cwd }: Pick<ServerContext, "cwd">): MethodTable => ({
  "environment/info": method({
    params: idSchema,
    experimental: true,
    handle: ({ environmentId }) => {
      if (environmentId !== LOCAL) throw invalidRequest(unknown(environmentId));
      return { shell: { name: basename(USER_SHELL), path: USER_SHELL }, cwd: pathToFileURL(cwd).href };
    },
  }),
  "environment/status": method({
    params: idSchema,
    experimental: true,
    handle: ({ environmentId }) =>
      environmentId === LOCAL ? { status: "ready" } : { status: "unknown", error: unknown(environmentId) },
  }),
});
