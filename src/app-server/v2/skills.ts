/** Skills: which there are, where else they are searched, and which are taken out. */
import { isAbsolute, resolve } from "node:path";
import * as z from "zod";
import { SKILL_RULES_KEY, type SkillKey, skillRulesOf, withRule } from "../../services/skill-rules.ts";
import { type MethodTable, method } from "../method.ts";
import { optionalFlag, optionalText, optionalTexts, text } from "../params.ts";
import { INVALID_PARAMS, invalidRequest, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";

const listSchema = z.object({ cwds: optionalTexts, forceReload: optionalFlag });
const rootsSchema = z.object({ extraRoots: z.array(text) });
const writeSchema = z.object({ path: optionalText, name: optionalText, enabled: z.boolean() });

export const skillMethods = (server: ServerContext): MethodTable => ({
  "skills/list": method({ params: listSchema, handle: (params) => list(server, params) }),
  "skills/extraRoots/set": method({
    params: rootsSchema,
    alone: true,
    handle: ({ extraRoots }) => {
      for (const root of extraRoots) checkAbsolute(root);
      const { skillsManager } = server.manager;
      if (skillsManager.setExtraRoots === undefined)
        throw invalidRequest("this server's skills take no further folders");
      skillsManager.setExtraRoots(extraRoots);
      server.hub.broadcast({ method: "skills/changed", params: {} });
      return {};
    },
  }),
  "skills/config/write": method({ params: writeSchema, alone: true, handle: (params) => write(server, params) }),
});

function checkAbsolute(path: string): void {
  if (!isAbsolute(path)) throw invalidRequest("Invalid request: AbsolutePathBuf deserialized without a base path");
}

/** Nobody watches the files, so each list looks at them anew, whether `forceReload` is set or not. */
async function list({ manager, cwd }: ServerContext, { cwds }: z.infer<typeof listSchema>) {
  const asked = cwds == null || cwds.length === 0 ? [cwd] : cwds;
  const data = asked.map(async (each) => {
    const { skills, errors } = await manager.skillsManager.skillsFor(resolve(cwd, each), { forceReload: true });
    return {
      cwd: each,
      skills: skills.map(({ name, description, shortDescription, path, scope, interface: shown, enabled }) => ({
        name,
        description,
        ...(shortDescription === undefined ? {} : { shortDescription }),
        ...(shown === undefined ? {} : { interface: shown }),
        path,
        scope,
        enabled: enabled !== false,
        pluginId: null,
      })),
      errors,
    };
  });
  return { data: await Promise.all(data) };
}

async function write({ configs: { file } }: ServerContext, params: z.infer<typeof writeSchema>) {
  const { enabled } = params;
  if (params.path != null) checkAbsolute(params.path);
  const key = keyOf(params);
  if (file === undefined) throw invalidRequest("this server has no config.toml to write");
  const { table, version } = await file.read();
  const rules = withRule(skillRulesOf(table), key, enabled);
  await file.write(SKILL_RULES_KEY, rules.length === 0 ? null : rules, { expectedVersion: version });
  return { effectiveEnabled: enabled };
}

/** @throws RpcError -32602 */
function keyOf({ path, name }: z.infer<typeof writeSchema>): SkillKey {
  if (path != null && path !== "" && name == null) return { path };
  if (name != null && name !== "" && path == null) return { name };
  throw new RpcError(INVALID_PARAMS, "skills/config/write requires exactly one of path or name", {
    code: "invalid_request",
  });
}
