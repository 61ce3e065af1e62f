import { commandEnvironment, type ProcessEnvironment } from "../../../process/clean-environment.ts";
import { untilLastWriter } from "../../../process/last-writers.ts";
import type { Launch } from "../../../process/launch.ts";
import { confine } from "../../../process/sandbox/confine.ts";
import { HeldFolders } from "../../../process/sandbox/held-folders.ts";
import { isOpen } from "../../../process/sandbox/writable-area.ts";
import { SandboxUnavailableError } from "../../../protocol/errors.ts";
import type { SandboxPolicy } from "../../../protocol/policy.ts";
import { resolveThreadConfig } from "../../../protocol/thread-config.ts";
import { INTERNAL_ERROR, RpcError } from "../../rpc-error.ts";
import type { ServerContext } from "../../server-context.ts";
import type { OutputStream } from "./output.ts";

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
 * @throws RpcError when it cannot be confined; what a config.toml that is wrong throws
 */
export async function commandLaunch(server: ServerContext, request: CommandRequest): Promise<Launch> {
  const { command, env } = request;
  const { environment } = server.manager;
  const { config } = await server.configs.load(request.cwd === undefined ? {} : { typed: { cwd: request.cwd } });
  const resolved = resolveThreadConfig(config);
  const { cwd, sandboxPolicy, allowUnixSockets } = resolved;
  const policy = request.policy ?? sandboxPolicy;
  const variables = variablesWith(commandEnvironment(environment, resolved), env ?? {});
  if (isOpen(policy) || command[0] === "") return { argv: command, cwd, env: variables };
  const folders = new HeldFolders();
  try {
    const launch = await confine(
      { argv: untilLastWriter(command), workdir: cwd, env: variables },
      // TMPDIR is the client's to change; where the sandbox itself is found is not.
      {
        policy,
        cwd,
        environment: { ...environment, TMPDIR: variables.TMPDIR },
        folders,
        profile: allowUnixSockets ? "private" : "strict",
      },
    );
    const release = () => {
      launch.release?.();
      void folders.dispose();
    };
    return { ...launch, release };
  } catch (error) {
    void folders.dispose();
    if (!(error instanceof SandboxUnavailableError)) throw error;
    const why = `the sandbox policy is ${policy.type}, and ${error.message}`;
    throw new RpcError(INTERNAL_ERROR, `failed to spawn command: ${why}`, { code: error.code, cause: error });
  }
}

/** A secret that an agent's command would not get is there if the client gives it. */
export const variablesWith = (
  environment: ProcessEnvironment,
  changes: Readonly<Record<string, string | null>>,
): Record<string, string> =>
  Object.fromEntries(
    Object.entries({ ...environment, ...changes }).filter((pair): pair is [string, string] => pair[1] != null),
  );

export type TerminalSize = { readonly rows: number; readonly cols: number };

/** A program that runs for a client, with pipes or in a terminal. */
export interface Program {
  /** Resolves once it runs, and never where it could not be started. */
  readonly begun: Promise<void>;
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
