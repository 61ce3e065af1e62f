/** Commands that a client runs beside all threads: command/exec, and what can be done while one runs. */
import * as z from "zod";
import type { Launch } from "../../../process/launch.ts";
import { policyOfProfile } from "../../../protocol/permission-profile.ts";
import type { SandboxPolicy } from "../../../protocol/policy.ts";
import { TIMEOUT_EXIT_CODE } from "../../../turn/tools/shell/command-run.ts";
import { type Call, type MethodTable, method } from "../../method.ts";
import { optionalText, text } from "../../params.ts";
import { invalidParams, invalidRequest } from "../../rpc-error.ts";
import type { ServerContext } from "../../server-context.ts";
import { sandboxFromV2, v2SandboxPolicySchema } from "../settings.ts";
import { CAP_BYTES, checkSize, inputSchema, KEPT_BYTES, sizeSchema, TIMEOUT_MS, writeInput } from "./limits.ts";
import { commandLaunch } from "./plan.ts";
import { CommandRun } from "./run.ts";
import { RunBoard } from "./run-board.ts";

const flag = z.boolean().optional();
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
const writeSchema = z.object({ processId: text, ...inputSchema });
const resizeSchema = z.object({ processId: text, size: sizeSchema });
const idSchema = z.object({ processId: text });

export const commandMethods = (server: ServerContext): MethodTable => {
  const board = new RunBoard({ id: "command/exec process id", none: "command/exec for process id" });
  return {
    "command/exec": method({
      params: execSchema,
      experimental: ["permissionProfile"],
      handle: (params, call) => exec(server, board, params, call),
    }),
    "command/exec/write": method({
      params: writeSchema,
      handle: ({ processId, ...input }, { connection }) =>
        writeInput("command/exec/write", input, () => board.find(connection, processId)),
    }),
    "command/exec/resize": method({
      params: resizeSchema,
      handle: async ({ processId, size }, call) => {
        checkSize(size, "command/exec size");
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

async function exec(server: ServerContext, board: RunBoard, params: ExecParams, call: Call) {
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
    called: "command/exec",
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
  if (size != null) checkSize(size, "command/exec size");
  if (processId == null && (tty === true || streamStdin === true || streamStdoutStderr === true)) {
    throw invalidRequest("command/exec tty or streaming requires a client-supplied processId");
  }
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
