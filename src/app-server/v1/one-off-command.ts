/** execOneOffCommand: one program, run to its end. */
import * as z from "zod";
import { sandboxPolicySchema } from "../../protocol/policy.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { optionalText } from "../params.ts";
import { INTERNAL_ERROR, invalidRequest, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { commandLaunch } from "../v2/command-exec/plan.ts";
import { CommandRun } from "../v2/command-exec/run.ts";

const execSchema = z.object({
  command: z.array(z.string()),
  timeoutMs: z.int().min(0).nullish(),
  cwd: optionalText,
  sandboxPolicy: sandboxPolicySchema.nullish(),
});

/** 0.87's, and what is kept of each stream; 0.87 has no bound. */
const TIMEOUT_MS = 10_000;
const KEPT_BYTES = 64 * 1024 * 1024;

export const oneOffMethods = (server: ServerContext): MethodTable => ({
  execOneOffCommand: method({ params: execSchema, handle: (params, call) => exec(server, params, call) }),
});

async function exec(server: ServerContext, params: z.infer<typeof execSchema>, call: Call) {
  const { command, cwd, sandboxPolicy, timeoutMs } = params;
  if (command.length === 0) throw invalidRequest("command must not be empty");
  const run = new CommandRun({
    clock: server.clock,
    stdin: "ignore",
    timeoutMs: timeoutMs ?? TIMEOUT_MS,
    capBytes: KEPT_BYTES,
    onOutput: undefined,
    congestion: () => undefined,
    signal: call.connection.inputEnded,
    failure: "exec failed",
    called: "command",
  });
  const launch = commandLaunch(server, { command, cwd: cwd ?? undefined, policy: sandboxPolicy ?? undefined });
  const { how, exitCode, stdout, stderr } = await run.run(launch);
  if (how === "timedOut") throw new RpcError(INTERNAL_ERROR, "exec failed: sandbox error: command timed out");
  return { exitCode, stdout, stderr };
}
