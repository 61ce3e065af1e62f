/** Commands that a client runs beside all threads: command/exec, and what can be done while one runs. */
import * as z from "zod";
import type { Launch } from "../../../process/launch.ts";
import { policyOfProfile } from "../../../protocol/permission-profile.ts";
import type { SandboxPolicy } from "../../../protocol/policy.ts";
import { TIMEOUT_EXIT_CODE } from "../../../turn/tools/shell/command-run.ts";
import type { Connection } from "../../connection.ts";
import { type Call, type MethodTable, method } from "../../method.ts";
import { optionalText, text } from "../../params.ts";
import { INVALID_PARAMS, invalidRequest, RpcError } from "../../rpc-error.ts";
import type { ServerContext } from "../../server-context.ts";
import { sandboxFromV2, v2SandboxPolicySchema } from "../settings.ts";
import { commandLaunch } from "./plan.ts";
import { CommandRun } from "./run.ts";

const flag = z.boolean().optional();
const sizeSchema = z.object({ rows: z.int().min(0).max(0xffff), cols: z.int().min(0).max(0xffff) });
const execSchema = z.object({
  command: z.array(z.string()),
  processId: optionalText,
  tty: flag,
  streamStdin: flag,
  streamStdoutStderr: flag,
  outputBytesCap: z.int().min(0).nullish(),
  disableOutputCap: flag,
  disableTimeout: flag,
  timeoutMs: z.int().nullish(),
  cwd: optionalText,
  env: z.record(z.string(), z.string().nullable()).nullish(),
  size: sizeSchema.nullish(),
  sandboxPolicy: v2SandboxPolicySchema.nullish(),
  permissionProfile: optionalText,
});
type ExecParams = z.infer<typeof execSchema>;
const writeSchema = z.object({ processId: text, deltaBase64: optionalText, closeStdin: flag });
const resizeSchema = z.object({ processId: text, size: sizeSchema });
const idSchema = z.object({ processId: text });

/** Codex's defaults, and what is kept for an answer when the client wants no cap. */
const TIMEOUT_MS = 10_000;
const CAP_BYTES = 1024 * 1024;
const KEPT_BYTES = 64 * CAP_BYTES;

export const commandMethods = (server: ServerContext): MethodTable => {
  const board = new CommandBoard();
  return {
    "command/exec": method({
      params: execSchema,
      experimental: ["permissionProfile"],
      handle: (params, call) => exec(server, board, params, call),
    }),
    "command/exec/write": method({ params: writeSchema, handle: (params, call) => write(board, params, call) }),
    "command/exec/resize": method({
      params: resizeSchema,
      handle: async ({ processId, size }, call) => {
        checkSize(size);
        await board.find(call.connection, processId).resize(size);
        return {};
      },
    }),
    "command/exec/terminate": method({
      params: idSchema,
      handle: ({ processId }, call) => {
        board.find(call.connection, processId).terminate();
        return {};
      },
    }),
  };
};

async function exec(server: ServerContext, board: CommandBoard, params: ExecParams, call: Call) {
  check(params);
  const { connection } = call;
  const { processId, tty, size, timeoutMs, outputBytesCap, disableOutputCap, disableTimeout } = params;
  const isStreamed = tty === true || params.streamStdoutStderr === true;
  const uncapped = isStreamed ? Number.POSITIVE_INFINITY : KEPT_BYTES;
  const run = new CommandRun({
    clock: server.clock,
    stdin: tty === true ? { terminal: size ?? undefined } : params.streamStdin === true ? "pipe" : "ignore",
    timeoutMs: disableTimeout === true ? undefined : (timeoutMs ?? TIMEOUT_MS),
    capBytes: disableOutputCap === true ? uncapped : (outputBytesCap ?? CAP_BYTES),
    congestion: () => connection.congestion(),
    signal: connection.inputEnded,
    failure: "failed to spawn command",
    onOutput: isStreamed
      ? (stream, chunk, capReached) => {
          const deltaBase64 = chunk.toString("base64");
          connection.tell({
            method: "command/exec/outputDelta",
            params: { processId, stream, deltaBase64, capReached },
          });
        }
      : undefined,
  });
  if (processId != null) {
    board.add(connection, processId, run);
    call.finally(() => board.remove(connection, processId));
  }
  const { how, exitCode, stdout, stderr } = await run.run(launchOf(server, params));
  return { exitCode: how === "timedOut" ? TIMEOUT_EXIT_CODE : exitCode, stdout, stderr };
}

/** In Codex's order. @throws RpcError -32600, -32602 */
function check(params: ExecParams): void {
  const { command, processId, tty, streamStdin, streamStdoutStderr, size, timeoutMs } = params;
  if (command.length === 0) throw invalidRequest("command must not be empty");
  if (size != null && tty !== true) throw invalidParams("command/exec size requires tty: true");
  if (params.disableOutputCap === true && params.outputBytesCap != null) {
    throw invalidParams("command/exec cannot set both outputBytesCap and disableOutputCap");
  }
  if (params.disableTimeout === true && timeoutMs != null) {
    throw invalidParams("command/exec cannot set both timeoutMs and disableTimeout");
  }
  if (timeoutMs != null && timeoutMs < 0) {
    throw invalidParams(`command/exec timeoutMs must be non-negative, got ${timeoutMs}`);
  }
  if (params.permissionProfile != null && params.sandboxPolicy != null) {
    throw invalidRequest("`permissionProfile` cannot be combined with `sandboxPolicy`");
  }
  if (size != null) checkSize(size);
  if (processId == null && (tty === true || streamStdin === true || streamStdoutStderr === true)) {
    throw invalidRequest("command/exec tty or streaming requires a client-supplied processId");
  }
}

function checkSize({ rows, cols }: z.infer<typeof sizeSchema>): void {
  if (rows === 0 || cols === 0) throw invalidParams("command/exec size rows and cols must be greater than 0");
}

async function launchOf(server: ServerContext, params: ExecParams): Promise<Launch> {
  const { command, cwd, env } = params;
  const policy = await policyOf(server, params);
  return commandLaunch(server, { command, cwd: cwd ?? undefined, policy, env: env ?? undefined });
}

async function policyOf(
  { configs }: ServerContext,
  { sandboxPolicy, permissionProfile }: ExecParams,
): Promise<SandboxPolicy | undefined> {
  if (permissionProfile != null) {
    return policyOfProfile(await configs.profileNamed(permissionProfile, "invalid permission profile"));
  }
  return sandboxPolicy == null ? undefined : sandboxFromV2(sandboxPolicy);
}

async function write(board: CommandBoard, params: z.infer<typeof writeSchema>, call: Call): Promise<object> {
  const { processId, deltaBase64, closeStdin } = params;
  if (deltaBase64 == null && closeStdin !== true) {
    throw invalidParams("command/exec/write requires deltaBase64 or closeStdin");
  }
  const bytes = bytesOf(deltaBase64 ?? "");
  const run = board.find(call.connection, processId);
  await (closeStdin === true ? run.finishInput(bytes) : run.write(bytes));
  return {};
}

function bytesOf(base64: string): Buffer {
  const at = base64.search(/[^A-Za-z0-9+/=]|=(?!=?$)/);
  if (at !== -1) {
    throw invalidParams(`invalid deltaBase64: Invalid symbol ${base64.codePointAt(at)}, offset ${at}.`);
  }
  if (base64.length % 4 !== 0) throw invalidParams("invalid deltaBase64: Invalid padding");
  return Buffer.from(base64, "base64");
}

const invalidParams = (message: string): RpcError => new RpcError(INVALID_PARAMS, message);

/** The commands that run, by the ids that their clients gave them. An id means something to its own client only. */
class CommandBoard {
  readonly #runs = new WeakMap<Connection, Map<string, CommandRun>>();

  /** @throws RpcError -32600 when a command of that id runs */
  add(connection: Connection, processId: string, run: CommandRun): void {
    const runs = this.#runs.get(connection) ?? new Map<string, CommandRun>();
    if (runs.has(processId)) throw invalidRequest(`duplicate active command/exec process id: ${quoted(processId)}`);
    runs.set(processId, run);
    this.#runs.set(connection, runs);
  }

  remove(connection: Connection, processId: string): void {
    this.#runs.get(connection)?.delete(processId);
  }

  /** @throws RpcError -32600 when none of that id runs */
  find(connection: Connection, processId: string): CommandRun {
    const run = this.#runs.get(connection)?.get(processId);
    if (run === undefined) throw invalidRequest(`no active command/exec for process id ${quoted(processId)}`);
    return run;
  }
}

const quoted = (processId: string): string => JSON.stringify(processId);
