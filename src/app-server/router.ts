/** From a request to its answer. */
import type { SkeinLogger } from "../kernel/log.ts";
import type { Connection, Request } from "./connection.ts";
import type { RequestId } from "./json-rpc.ts";
import type { Call, Method, MethodTable } from "./method.ts";
import { readParams } from "./params.ts";
import { errorObjectOf, INTERNAL_ERROR, invalidRequest, RpcError } from "./rpc-error.ts";
import { mayCall, WHY_NOT } from "./studio/access.ts";

export type RouterOptions = {
  /** Why a method is not served here, whatever is asked. */
  readonly refusal: (method: string) => Error | undefined;
  /** Told of what failed by a defect. */
  readonly logger: SkeinLogger;
};

export class Router {
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #options: RouterOptions;

  constructor(tables: readonly MethodTable[], options: RouterOptions) {
    this.#methods = new Map(tables.flatMap((table) => Object.entries(table)));
    this.#options = options;
  }

  serve(connection: Connection, request: Request): void {
    try {
      const { method, params } = this.#admit(connection, request);
      connection.run(method.scope(params), () => this.#work(connection, request, method, params));
    } catch (error) {
      connection.answer({ id: request.id, error: errorObjectOf(error) });
    }
  }

  /** In Codex's order: the shape of the request, whether the client may ask, what it has opted in to. */
  #admit(connection: Connection, request: Request): { method: Method; params: unknown } {
    const refusal = this.#options.refusal(request.method);
    if (refusal !== undefined) throw refusal;
    const method = this.#methods.get(request.method);
    if (method === undefined) throw this.#unknown(request.method);
    const params = readParams(method.params, request.params);
    if (connection.client === undefined && !method.isFirst) throw invalidRequest("Not initialized");
    if (connection.access !== "act" && !mayCall(connection.access, request.method)) {
      throw invalidRequest(WHY_NOT[connection.access]);
    }
    if (!connection.experimentalApi) checkExperimental(request.method, method, params);
    return { method, params };
  }

  #unknown(name: string): Error {
    const known = [...this.#methods.keys()].map((each) => `\`${each}\``).join(", ");
    return invalidRequest(`Invalid request: unknown variant \`${name}\`, expected one of ${known}`);
  }

  async #work(connection: Connection, { id, method: name }: Request, method: Method, params: unknown): Promise<void> {
    const call = new RunningCall(connection, id);
    try {
      const result = method.handle(params, call);
      connection.answer({ id, result: result instanceof Promise ? await result : result });
      call.answered();
    } catch (error) {
      const told = errorObjectOf(error);
      const isGivenUp = connection.signal.aborted && error === connection.signal.reason;
      if (told.code === INTERNAL_ERROR && !isClients(error) && !isGivenUp) {
        this.#options.logger.error({ err: error, method: name }, "a request failed by a defect");
      }
      connection.answer({ id, error: told });
    } finally {
      call.end();
    }
  }
}

/** An error that Codex gives this number, and that says what is wrong with the request. */
const isClients = (error: unknown): boolean => error instanceof RpcError && error.code === "invalid_request";

function checkExperimental(name: string, { experimental }: Method, params: unknown): void {
  if (experimental === true) throw invalidRequest(`${name} requires experimentalApi capability`);
  const given = params as Record<string, unknown>;
  const field = experimental.find((each) => isGiven(each, given[each]));
  if (field !== undefined) throw invalidRequest(`${name}.${field} requires experimentalApi capability`);
}

/** An empty path counts as none. */
const isGiven = (name: string, value: unknown): boolean =>
  value !== undefined && value !== null && value !== false && !(name === "path" && value === "");

class RunningCall implements Call {
  readonly connection: Connection;
  readonly requestId: RequestId;
  #after: (() => void)[] = [];
  #finally: (() => void)[] = [];

  constructor(connection: Connection, requestId: RequestId) {
    this.connection = connection;
    this.requestId = requestId;
  }

  get signal(): AbortSignal {
    return this.connection.signal;
  }

  afterAnswer(fn: () => void): void {
    this.#after.push(fn);
  }

  finally(fn: () => void): void {
    this.#finally.push(fn);
  }

  answered(): void {
    for (const fn of this.#after) fn();
  }

  end(): void {
    for (const fn of this.#finally) fn();
  }
}
