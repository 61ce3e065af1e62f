/** Who is signed in (SPEC 17): account/* and getAuthStatus. */
import * as z from "zod";
import { isUuid } from "../../protocol/ids.ts";
import type { AuthManager } from "../../services/auth-manager.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { loose, optionalFlag, text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";

const readSchema = z.object({ refreshToken: optionalFlag });
const loginSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("apiKey"), apiKey: text }),
  z.object({ type: z.literal("chatgpt") }),
  z.object({ type: z.literal("chatgptDeviceCode") }),
  z.object({ type: z.literal("chatgptAuthTokens") }),
]);
export const authStatusSchema = z.object({ includeToken: optionalFlag, refreshToken: optionalFlag });

export const accountMethods = (server: ServerContext): MethodTable => ({
  "account/read": method({ params: readSchema, handle: () => readAccount(server) }),
  "account/login/start": method({
    params: loginSchema,
    alone: true,
    handle: (params, call) => logIn(server, params, call),
  }),
  "account/login/cancel": method({
    params: z.object({ loginId: text }),
    handle: ({ loginId }) => {
      if (!isUuid(loginId)) throw invalidRequest(`invalid login id: ${loginId}`);
      return { status: "notFound" };
    },
  }),
  "account/logout": method({ params: z.object({}), alone: true, handle: (_, call) => logOut(server, call) }),
  "account/rateLimits/read": method({
    params: z.object({}),
    handle: () => refuse(server.manager.authManager, "rate limits"),
  }),
  "account/usage/read": method({
    params: loose(z.object({})),
    handle: () => refuse(server.manager.authManager, "token usage"),
  }),
  "account/workspaceMessages/read": method({
    params: loose(z.object({})),
    handle: () => refuse(server.manager.authManager, "workspace messages"),
  }),
  getAuthStatus: method({ params: authStatusSchema, handle: (params) => authStatus(server, params) }),
});

/** Whether the provider that threads use by default needs OpenAI's sign-in. */
async function requiresOpenaiAuth({ configs, manager }: ServerContext): Promise<boolean> {
  const { providers, config } = await configs.load();
  return providers.get(config.modelProvider ?? manager.config.modelProvider)?.requiresOpenaiAuth ?? false;
}

async function readAccount(server: ServerContext) {
  const required = await requiresOpenaiAuth(server);
  const account = server.manager.authManager.account();
  const rest = { userId: null, requiresOpenaiAuth: required, workspaceRouting: null };
  // A provider that needs no account does not ask for one.
  if (account === null || !required) return { account: null, ...rest };
  if (account.type === "apiKey") return { account: { type: "apiKey" }, ...rest };
  const { email, planType } = account;
  if (email === null || planType === null) {
    throw invalidRequest("email and plan type are required for chatgpt authentication");
  }
  return { account: { type: "chatgpt", email, planType, workspaceName: null }, ...rest };
}

/** Only keys: Skein has no browser flow. */
async function logIn({ manager, hub }: ServerContext, params: z.infer<typeof loginSchema>, call: Call) {
  if (params.type !== "apiKey") throw invalidRequest(`sign-in with ${params.type} is not supported; use an API key`);
  await manager.authManager.loginWithApiKey(params.apiKey);
  call.afterAnswer(() => {
    const login = { loginId: null, success: true, error: null, onboardingEntrypoint: null };
    call.connection.tell({ method: "account/login/completed", params: login });
    hub.broadcast({ method: "account/updated", params: { authMode: "apikey", planType: null, reason: null } });
  });
  return { type: "apiKey" };
}

async function logOut({ manager, hub }: ServerContext, call: Call) {
  await manager.authManager.logout();
  call.afterAnswer(() =>
    hub.broadcast({ method: "account/updated", params: { authMode: null, planType: null, reason: null } }),
  );
  return {};
}

/** What only an account of ChatGPT has. */
function refuse(auth: AuthManager, what: string): never {
  throw invalidRequest(
    auth.status().authMethod === null
      ? `codex account authentication required to read ${what}`
      : `chatgpt authentication required to read ${what}`,
  );
}

/** The token only when it is asked for. */
async function authStatus(server: ServerContext, { includeToken }: z.infer<typeof authStatusSchema>) {
  const auth = server.manager.authManager;
  const required = await requiresOpenaiAuth(server);
  if (!required) return { authMethod: null, authToken: null, requiresOpenaiAuth: false };
  const { authMethod } = auth.status();
  const token = authMethod === "apikey" ? auth.apiKey() : auth.accessToken();
  return { authMethod, authToken: includeToken === true ? (token ?? null) : null, requiresOpenaiAuth: required };
}
