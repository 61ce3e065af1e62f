import { commandEnvironment } from "../../../process/clean-environment.ts";
import { isOpen, sandboxed } from "../../../process/sandbox.ts";
import type { SandboxPolicy } from "../../../protocol/policy.ts";
import { resolveThreadConfig } from "../../../protocol/thread-config.ts";
import { INTERNAL_ERROR, RpcError } from "../../rpc-error.ts";
import type { ServerContext } from "../../server-context.ts";
import type { OutputStream } from "./output.ts";

/** What is to be started. */
export type CommandPlan = {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Record<string, string>;
};

export type CommandRequest = {
  readonly command: readonly string[];
  /** Relative to the server's; undefined: that. */
  readonly cwd: string | undefined;
  /** undefined: config.toml's. */
  readonly policy: SandboxPolicy | undefined;
  /** What differs from the variables of agents' commands; null takes one away. */
  readonly env?: Readonly<Record<string, string | null>> | undefined;
};

/**
 * A client's command, put into the sandbox that its policy wants.
 * @throws RpcError when there is no sandbox; what a config.toml that is wrong throws
 */
export async function commandPlan(server: ServerContext, request: CommandRequest): Promise<CommandPlan> {
  const { command, env } = request;
  const { environment } = server.manager;
  const { config } = await server.configs.load(request.cwd === undefined ? {} : { typed: { cwd: request.cwd } });
  const resolved = resolveThreadConfig(config);
  const { cwd, sandboxPolicy } = resolved;
  const policy = request.policy ?? sandboxPolicy;
  const variables = withChanges(commandEnvironment(environment, resolved), env ?? {});
  if (isOpen(policy) || command[0] === "") return { argv: command, cwd, env: variables };
  // The sandbox is looked up where the server's programs are, whatever the client gives its command.
  const place = { policy, cwd, workdir: cwd, environment: { ...variables, PATH: environment.PATH } };
  const argv = await sandboxed(command, place);
  if (argv !== undefined) return { argv, cwd, env: variables };
  const why = `the sandbox policy is ${policy.type}, and bubblewrap (\`bwrap\`) is not installed`;
  throw new RpcError(INTERNAL_ERROR, `failed to spawn command: ${why}`, { code: "invalid_request" });
}

/** A secret that an agent's command would not get is there if the client gives it. */
function withChanges(
  environment: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const variables = { ...environment };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete variables[name];
    else variables[name] = value;
  }
  return variables;
}

export type TerminalSize = { readonly rows: number; readonly cols: number };

/** A program that runs for a client, with pipes or in a terminal. */
export interface Program {
  /** Its exit code, in the way of shells, once all of its output has come. @throws when it could not be started */
  readonly exit: Promise<number>;
  /** Called once, before anything comes. */
  onOutput(take: (stream: OutputStream, chunk: Buffer) => void): void;
  pause(): void;
  resume(): void;
  /** Resolves when the program has taken it, or takes nothing more. */
  write(bytes: Buffer): Promise<void>;
  /** Ends its input. */
  end(): void;
  /** @throws RpcError -32600 when it has no terminal */
  resize(size: TerminalSize): void;
  /** Ends it now, with everything that it started. */
  kill(): void;
}
