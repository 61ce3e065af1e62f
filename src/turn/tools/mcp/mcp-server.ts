/**
 * One MCP server, for all threads that use it. It is connected when it is first needed, and again after its connection
 * was lost; a second caller waits for the same connection.
 */

import type { CallToolResult, Client, ReadResourceResult, Tool, Transport } from "@modelcontextprotocol/client";
import { raceAbort, withDeadline } from "../../../kernel/cancellation.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { importOptional } from "../../../kernel/optional-package.ts";
import { textOfThrown } from "../../../kernel/thrown.ts";
import { fewVariables, type ProcessEnvironment } from "../../../process/clean-environment.ts";
import { DeadlineExceededError, InvalidRequestError } from "../../../protocol/errors.ts";
import type { McpServerConfig } from "../../../protocol/mcp-servers.ts";
import { privateValues, redact } from "../../../protocol/secrets.ts";
import { VERSION } from "../../../version.ts";
import { type Asked, answerElicitation, CallTime, type OpenCall } from "./elicitation.ts";
import { NotDeliveredError, StdioTransport } from "./stdio-transport.ts";

/** Codex's defaults. */
const STARTUP_SEC = 10;
const TOOL_SEC = 60;

/** What can be waited for when a server closes; then it is left to its transport. */
const CLOSE_MS = 2_000;

export type McpServerParts = {
  readonly environment: ProcessEnvironment;
  readonly cwd: string;
  readonly clock: Clock;
};

export type McpCallOptions = {
  readonly signal: AbortSignal;
  readonly meta?: Record<string, unknown> | undefined;
  readonly asked?: Asked | undefined;
};

/** Calls have a time of their own, which can stand still. */
const NO_TIMEOUT_MS = 2 ** 31 - 1;

type Library = typeof import("@modelcontextprotocol/client");

/** The server has answered with an error of its own, by its number in the protocol; or what was asked of it came to nothing. */
export class McpRefusal extends Error {
  override readonly name = "McpRefusal";
  readonly rpcCode: number;

  constructor(rpcCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.rpcCode = rpcCode;
  }
}

const isRefusal = (error: unknown): error is Error & { code: number } =>
  error instanceof Error && "code" in error && Number.isSafeInteger(error.code) && Number(error.code) < 0;

export class McpServer {
  readonly name: string;
  readonly config: McpServerConfig;
  readonly #parts: McpServerParts;
  #connection: Promise<Client> | undefined;
  #tools: readonly Tool[] = [];
  readonly #closing = new AbortController();
  /** How many calls each client has under way, and those whose session the server has forgotten. */
  readonly #running = new WeakMap<Client, number>();
  readonly #lost = new WeakSet<Client>();
  /** Tool calls that somebody can be asked for, of all threads, in the order in which they began. */
  readonly #calls = new Set<OpenCall>();

  constructor(name: string, config: McpServerConfig, parts: McpServerParts) {
    this.name = name;
    this.config = config;
    this.#parts = parts;
  }

  /** The tools that it offers and its config lets through, as they were last told. Replaced, never changed in place. */
  get tools(): readonly Tool[] {
    return this.#tools;
  }

  /** Resolves when the server is connected and its tools are known. @throws with a text for the user */
  async start(): Promise<void> {
    await this.#connected();
  }

  /** Whether its config lets the tool through. */
  offers(tool: string): boolean {
    const { enabled_tools: enabled, disabled_tools: disabled = [] } = this.config;
    return (enabled === undefined || enabled.includes(tool)) && !disabled.includes(tool);
  }

  /** What it says of itself; `full`: its resources too. @throws what went wrong, a timeout too; or the signal's reason */
  async inventory({ full, signal }: { readonly full: boolean; readonly signal: AbortSignal }) {
    return this.#ask({ signal }, async (client, options) => {
      const capabilities = client.getServerCapabilities();
      const hasMore = full && capabilities?.resources !== undefined;
      const [resources, templates] = hasMore
        ? await Promise.all([client.listResources({}, options), client.listResourceTemplates({}, options)])
        : [];
      return {
        info: client.getServerVersion(),
        capabilities,
        tools: this.#tools,
        resources: resources?.resources ?? [],
        resourceTemplates: templates?.resourceTemplates ?? [],
      };
    });
  }

  /** @throws McpRefusal, or what else went wrong, a timeout too; or the signal's reason */
  async readResource(uri: string, { signal, meta }: McpCallOptions): Promise<ReadResourceResult> {
    return this.#ask({ signal }, (client, options) =>
      client.readResource({ uri, ...(meta && { _meta: meta }) }, options),
    );
  }

  /**
   * @param options `meta` is what the request says of itself, such as the trace that it belongs to; `asked` is whom the server
   *   may ask meanwhile, while the call's time stands still: without one it is told that nobody wants to answer
   * @throws McpRefusal, or what else went wrong, a timeout too; or the signal's reason
   */
  async call(
    tool: string,
    args: Record<string, unknown> | undefined,
    { signal, meta, asked }: McpCallOptions,
  ): Promise<CallToolResult> {
    const request = { name: tool, ...(args && { arguments: args }), ...(meta && { _meta: meta }) };
    return this.#ask({ signal, asked }, (client, options) => client.callTool(request, options));
  }

  async #ask<Answer>(
    { signal: given, asked }: McpCallOptions,
    request: (client: Client, options: { signal: AbortSignal; timeout: number }) => Promise<Answer>,
  ): Promise<Answer> {
    const time = new CallTime(this.#parts.clock, this.config.tool_timeout_sec ?? TOOL_SEC);
    const signal = AbortSignal.any([given, time.signal]);
    const open: OpenCall = { asked, signal, time };
    const ask = (client: Client) =>
      raceAbort(this.#counted(client, request(client, { signal, timeout: NO_TIMEOUT_MS })), signal);
    // Lists and reads ask nobody, and are in nobody's way.
    if (asked !== undefined) this.#calls.add(open);
    try {
      const connection = this.#connected();
      const client = await raceAbort(connection, signal);
      return await ask(client).catch(async (error: unknown) => {
        if (signal.aborted || !isSessionLost(client, error)) throw error;
        // The server has forgotten the session, or was gone, so it has not run the call. Calls that fail together connect once.
        this.#forget(connection);
        this.#lost.add(client);
        return ask(await raceAbort(this.#connected(), signal));
      });
    } catch (error) {
      given.throwIfAborted();
      const why = this.#safe(textOfThrown(error));
      throw isRefusal(error) ? new McpRefusal(error.code, why) : new Error(why);
    } finally {
      this.#calls.delete(open);
      time.end();
    }
  }

  /** A client whose session is lost is closed behind its last call: each of them is to hear of it by itself. */
  async #counted<Result>(client: Client, call: Promise<Result>): Promise<Result> {
    this.#running.set(client, (this.#running.get(client) ?? 0) + 1);
    try {
      return await call;
    } finally {
      const left = (this.#running.get(client) ?? 1) - 1;
      this.#running.set(client, left);
      if (left === 0) setImmediate(() => this.#lost.delete(client) && void client.close().catch(() => undefined));
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new InvalidRequestError(`MCP server \`${this.name}\` is closed`));
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    const { clock } = this.#parts;
    const closing = connection.then(endSession).catch(() => undefined);
    await withDeadline(`the end of MCP server ${this.name}`, closing, { deadlineMs: CLOSE_MS, clock }).catch(
      () => undefined,
    );
  }

  #connected(): Promise<Client> {
    if (this.#closing.signal.aborted) return Promise.reject(this.#closing.signal.reason);
    if (this.#connection === undefined) {
      const connection = this.#connect();
      this.#connection = connection;
      connection.catch(() => this.#forget(connection));
    }
    return this.#connection;
  }

  #forget(connection: Promise<Client>): void {
    if (this.#connection === connection) this.#connection = undefined;
  }

  async #connect(): Promise<Client> {
    const library = await load();
    const client = new library.Client(
      { name: "skein", version: VERSION },
      {
        capabilities: { elicitation: { form: {}, url: {} } },
        listChanged: { tools: { debounceMs: 0, onChanged: (_, tools) => this.#offer(tools ?? this.#tools) } },
      },
    );
    client.setRequestHandler("elicitation/create", async (asked, { mcpReq: { signal } }) => {
      const { meta, ...said } = await answerElicitation(this.#calls, asked, { clock: this.#parts.clock, signal });
      return { ...said, ...(meta !== undefined && { _meta: { ...meta } }) };
    });
    const seconds = this.config.startup_timeout_sec ?? STARTUP_SEC;
    try {
      const transport = this.#transport(library);
      await withDeadline(
        `MCP server ${this.name}`,
        async (signal) => {
          await client.connect(transport, { signal, timeout: seconds * 1000 });
          this.#offer((await client.listTools({}, { signal })).tools);
        },
        { deadlineMs: seconds * 1000, clock: this.#parts.clock, signal: this.#closing.signal },
      );
    } catch (error) {
      await client.close().catch(() => undefined);
      throw new InvalidRequestError(this.#failure(error, seconds));
    }
    const connection = this.#connection;
    client.onclose = () => connection !== undefined && this.#forget(connection);
    return client;
  }

  #failure(error: unknown, seconds: number): string {
    if (error instanceof DeadlineExceededError || /timed out/i.test(String(error))) {
      return `MCP client for \`${this.name}\` timed out after ${seconds} seconds. Add or adjust \`startup_timeout_sec\` in your config.toml:\n[mcp_servers.${this.name}]\nstartup_timeout_sec = XX`;
    }
    return `MCP client for \`${this.name}\` failed to start: ${this.#safe(textOfThrown(error))}`;
  }

  /** A server, or the way to it, may quote what it was sent. */
  #safe(text: string): string {
    const {
      env = {},
      http_headers = {},
      env_http_headers = {},
      env_vars = [],
      bearer_token_env_var = "",
    } = this.config;
    const names = [...env_vars, ...Object.values(env_http_headers), bearer_token_env_var];
    const inherited = names.map((name) => this.#parts.environment[name]);
    return redact(text, [...privateValues(env), ...privateValues(http_headers), ...inherited]);
  }

  #offer(tools: readonly Tool[]): void {
    this.#tools = tools.filter(({ name }) => this.offers(name));
  }

  #transport(library: Library): Transport {
    const { environment, clock, cwd } = this.#parts;
    const { command, args = [], env, env_vars, url } = this.config;
    if (command !== undefined) {
      return new StdioTransport({
        argv: [command, ...args],
        cwd: this.config.cwd ?? cwd,
        env: { ...fewVariables(environment, env_vars), ...env },
        clock,
        framing: { buffer: new library.ReadBuffer(), serialize: library.serializeMessage },
      });
    }
    return new library.StreamableHTTPClientTransport(new URL(url ?? ""), {
      requestInit: { headers: this.#headers() },
    });
  }

  #headers(): Record<string, string> {
    const { http_headers, env_http_headers = {}, bearer_token_env_var } = this.config;
    const headers: Record<string, string> = { ...http_headers };
    for (const [header, name] of Object.entries(env_http_headers)) {
      const value = this.#parts.environment[name];
      if (value !== undefined) headers[header] = value;
    }
    if (bearer_token_env_var !== undefined) {
      const token = this.#parts.environment[bearer_token_env_var];
      if (!token)
        throw new Error(`Environment variable ${bearer_token_env_var} for MCP server '${this.name}' is not set`);
      headers.Authorization = `Bearer ${token}`;
    }
    return headers;
  }
}

/**
 * Over HTTP, 404 for a request of a session means that the session is over (MCP 2025-06-18, Transports); servers that were
 * built on the SDKs' transports and examples say so by 400, or in an answer, and their words. Over stdio, the process has ended.
 */
function isSessionLost({ transport }: Client, error: unknown): boolean {
  if (error instanceof NotDeliveredError) return true;
  if (transport?.sessionId === undefined || !(error instanceof Error)) return false;
  if (!("status" in error)) return isRefusal(error) && SESSION_OVER.test(error.message);
  return error.status === 404 || error.status === 410 || (error.status === 400 && SESSION.test(error.message));
}

const SESSION = /session|not initiali[sz]ed/i;
const SESSION_OVER = /^(?=.*\bsession\b).*\b(not found|unknown|expired|terminated|invalid)\b|\bnot initiali[sz]ed\b/i;

/** Over HTTP the server is told, so that it keeps nothing of the session. */
async function endSession(client: Client): Promise<void> {
  const transport = client.transport as (Transport & { terminateSession?: () => Promise<void> }) | undefined;
  await transport?.terminateSession?.().catch(() => undefined);
  await client.close();
}

/** The library is optional, and start-up does not pay for it. */
const load = (): Promise<Library> =>
  importOptional("@modelcontextprotocol/client", (cause) => {
    const why = "MCP servers need the package `@modelcontextprotocol/client`, which is not installed";
    return new InvalidRequestError(why, { cause });
  });
