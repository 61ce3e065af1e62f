/** Which bubblewrap is here, and what it can do: tried once for a process, with the arguments of real commands. */
import { spawn } from "node:child_process";
import { SandboxUnavailableError } from "../../protocol/errors.ts";
import type { ProcessEnvironment } from "../clean-environment.ts";
import { trustedProgram } from "../trusted-program.ts";
import { bubblewrapArguments, type ConfinementPlan } from "./confinement-plan.ts";
import type { WritableArea } from "./writable-area.ts";

export type Bubblewrap = {
  readonly path: string;
  /** Whether folders can be bound by handle (0.10, and Debian's 0.8). */
  readonly bindsHandles: boolean;
  readonly proc: ConfinementPlan["proc"];
};

const PROBE_DEADLINE_MS = 10_000;
const MOST_REASON_CHARS = 400;

const known = new Map<string, Promise<Bubblewrap>>();

/**
 * @param environment may name it by an absolute path, SKEIN_BWRAP
 * @param area what the commands may write
 * @throws SandboxUnavailableError that says why there is no sandbox, in bubblewrap's own words where it has any
 */
export async function bubblewrap(environment: ProcessEnvironment, area: WritableArea): Promise<Bubblewrap> {
  if (process.platform !== "linux") throw unavailable(`Skein has none for ${process.platform}`);
  const found = await trustedProgram("bwrap", { explicit: environment.SKEIN_BWRAP || undefined, area });
  if ("reason" in found) throw unavailable(`bubblewrap (\`bwrap\`): ${found.reason}`);
  const { path } = found;
  const probed = known.get(path) ?? probe(path);
  known.set(path, probed);
  return probed;
}

const unavailable = (reason: string): SandboxUnavailableError =>
  new SandboxUnavailableError(`there is no sandbox here: ${reason}`);

const NOTHING: Omit<ConfinementPlan, "proc"> = {
  profile: "strict",
  network: "none",
  mounts: [],
  variables: {},
  workdir: "/",
};

async function probe(path: string): Promise<Bubblewrap> {
  const help = await run(path, ["--help"]);
  const bindsHandles = help.output.includes("--bind-fd");
  const attempt = (proc: ConfinementPlan["proc"]) => {
    const { args } = bubblewrapArguments({ ...NOTHING, proc }, { bindsHandles });
    return run(path, [...args, "--", path, "--version"]);
  };
  const own = await attempt("own");
  if (own.code === 0) return { path, bindsHandles, proc: "own" };
  // In a container whose /proc is partly covered, none can be mounted. Without a user namespace the outer one would be open.
  const outer = own.output.includes("mount proc") ? await attempt("outer") : own;
  if (outer.code === 0) return { path, bindsHandles, proc: "outer" };
  // Another try may find more memory or more namespaces.
  known.delete(path);
  throw unavailable(`bubblewrap (\`${path}\`) cannot make one: ${outer.output.trim().slice(0, MOST_REASON_CHARS)}`);
}

function run(program: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    let output = "";
    const take = (chunk: Buffer) => {
      output += chunk.toString("utf8");
    };
    const child = spawn(program, args, { env: {}, stdio: ["ignore", "pipe", "pipe"], timeout: PROBE_DEADLINE_MS });
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.once("error", (error) => resolve({ code: null, output: error.message }));
    child.once("close", (code, signal) =>
      resolve({ code, output: signal === null ? output : `${output} (ended by ${signal})` }),
    );
  });
}
