/**
 * process/*: programs of a client's own on the server's machine, which outlast the request that starts them. They end with their
 * client, have no sandbox, and get the server's own variables, as with stock Codex.
 */
import { isAbsolute } from "node:path";
import * as z from "zod";
import { TIMEOUT_EXIT_CODE } from "../../../turn/tools/shell/command-run.ts";
import { type Call, type MethodTable, method } from "../../method.ts";
import { optionalFlag, text } from "../../params.ts";
import { invalidParams, invalidRequest } from "../../rpc-error.ts";
import type { ServerContext } from "../../server-context.ts";
import { CAP_BYTES, checkSize, inputSchema, KEPT_BYTES, sizeSchema, TIMEOUT_MS, writeInput } from "./limits.ts";
import type { OutputStream } from "./output.ts";
import { variablesWith } from "./plan.ts";
import { type CommandEnding, CommandRun } from "./run.ts";
import { RunBoard } from "./run-board.ts";

const spawnSchema = z.object({
  command: z.array(text),
  processHandle: text,
  cwd: text.refine(isAbsolute, "AbsolutePathBuf deserialized without a base path"),
  tty: optionalFlag,
  streamStdin: optionalFlag,
  streamStdoutStderr: optionalFlag,
  outputBytesCap: z.int().min(0).nullish(),
  timeoutMs: z.int().nullish(),
  env: z.record(z.string(), z.string().nullable()).nullish(),
  size: sizeSchema.nullish(),
});
type SpawnParams = z.infer<typeof spawnSchema>;
const handleSchema = z.object({ processHandle: text });

const experimental = true;

export const processMethods = (server: ServerContext): MethodTable => {
  const board = new RunBoard({ id: "process handle", none: "process for process handle" });
  return {
    "process/spawn": method({
      params: spawnSchema,
      experimental,
      handle: (params, call) => spawn(server, board, params, call),
    }),
    "process/writeStdin": method({
      params: handleSchema.extend(inputSchema),
      experimental,
      handle: ({ processHandle, ...input }, { connection }) =>
        writeInput("process/writeStdin", input, () => board.find(connection, processHandle)),
    }),
    "process/resizePty": method({
      params: handleSchema.extend({ size: sizeSchema }),
      experimental,
      handle: async ({ processHandle, size }, { connection }) => {
        checkSize(size, "process size");
        await board.find(connection, processHandle).resize(size);
        return {};
      },
    }),
    "process/kill": method({
      params: handleSchema,
      experimental,
      handle: ({ processHandle }, { connection }) => {
        board.find(connection, processHandle).terminate();
        return {};
      },
    }),
  };
};

/** Answers once the program runs; what it writes, and its end, are told after that. */
async function spawn(server: ServerContext, board: RunBoard, params: SpawnParams, call: Call): Promise<object> {
  check(params);
  const { connection } = call;
  const { processHandle, command, cwd, env } = params;
  const answered = Promise.withResolvers<void>();
  const tell = (method: string, about: object) =>
    void answered.promise.then(() => connection.tell({ method, params: { processHandle, ...about } }));
  const run = runOf(server, params, call, (stream, chunk, capReached) =>
    tell("process/outputDelta", { stream, deltaBase64: chunk.toString("base64"), capReached }),
  );
  board.add(connection, processHandle, run);
  const launch = { argv: command, cwd, env: variablesWith(server.manager.environment, env ?? {}) };
  const ending = run.run(Promise.resolve(launch)).finally(() => board.remove(connection, processHandle));
  // One that could not be started is the answer.
  ending.then(
    (end) => tell("process/exited", exited(end)),
    () => undefined,
  );
  await Promise.race([run.begun(), ending]);
  call.afterAnswer(answered.resolve);
  return {};
}

function runOf(
  { clock }: ServerContext,
  { tty, size, timeoutMs, outputBytesCap, ...params }: SpawnParams,
  { connection }: Call,
  onOutput: (stream: OutputStream, chunk: Buffer, capReached: boolean) => void,
): CommandRun {
  const isStreamed = tty === true || params.streamStdoutStderr === true;
  const uncapped = isStreamed ? Number.POSITIVE_INFINITY : KEPT_BYTES;
  return new CommandRun({
    clock,
    stdin: tty === true ? { terminal: size ?? undefined } : params.streamStdin === true ? "pipe" : "ignore",
    // What is not given has the default, and null has none.
    timeoutMs: timeoutMs === undefined ? TIMEOUT_MS : (timeoutMs ?? undefined),
    capBytes: outputBytesCap === undefined ? CAP_BYTES : (outputBytesCap ?? uncapped),
    congestion: () => connection.congestion(),
    signal: connection.inputEnded,
    failure: "failed to spawn process",
    called: "process",
    onOutput: isStreamed ? onOutput : undefined,
  });
}

/** In Codex's order. @throws RpcError -32600, -32602 */
function check({ command, processHandle, tty, size, timeoutMs }: SpawnParams): void {
  if (command.length === 0) throw invalidRequest("command must not be empty");
  if (processHandle === "") throw invalidRequest("processHandle must not be empty");
  if (size != null && tty !== true) throw invalidParams("process/spawn size requires tty: true");
  if (size != null) checkSize(size, "process size");
  if (timeoutMs != null && timeoutMs < 0) {
    throw invalidParams(`process/spawn timeoutMs must be non-negative, got ${timeoutMs}`);
  }
}

/** The end waits for all output, since what the program leaves running ends with it. */
const exited = ({ how, exitCode, stdout, stderr, isFull }: CommandEnding) => ({
  exitCode: how === "timedOut" ? TIMEOUT_EXIT_CODE : exitCode,
  outputDrainTimedOut: false,
  stdout,
  stdoutCapReached: isFull.stdout,
  stderr,
  stderrCapReached: isFull.stderr,
});
