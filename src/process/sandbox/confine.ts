/**
 * Puts a command into the sandbox of its policy: the whole disk can be read, only the policy's folders can be written, no
 * process outlives the command, there is no Unix socket, and no network unless the policy grants it. Everything that runs
 * confined comes through here: commands of agents and of clients, the writes of patches, Skein's own git.
 */
import { SandboxUnavailableError } from "../../protocol/errors.ts";
import type { Launch } from "../launch.ts";
import { bubblewrap } from "./bubblewrap.ts";
import { bubblewrapArguments, type ConfinementPlan, type Mount } from "./confinement-plan.ts";
import { closeAll, namelessFile } from "./handles.ts";
import type { HeldFolders } from "./held-folders.ts";
import { holdMountPoints } from "./mount-points.ts";
import { type OpenArea, openArea } from "./open-area.ts";
import { privateMounts, withoutHostTmp, withoutServers } from "./private-profile.ts";
import { type SandboxProfile, seccompFilter, thisMachine } from "./seccomp.ts";
import type { PolicyPlace } from "./writable-area.ts";

export type ConfineOptions = PolicyPlace & {
  readonly profile: SandboxProfile;
  readonly folders: HeldFolders;
};

export type ConfinedCommand = {
  readonly argv: readonly string[];
  readonly workdir: string;
  /** What the command finds in its environment. */
  readonly env: Readonly<Record<string, string>>;
};

/**
 * The command, ready to be started in its sandbox.
 * @throws SandboxUnavailableError when it cannot be confined; it is then not to run at all
 */
export async function confine(command: ConfinedCommand, options: ConfineOptions): Promise<Launch> {
  const machine = knownMachine();
  const isPrivate = options.profile === "private";
  const area = await openArea(isPrivate ? withoutHostTmp(options) : options, options.folders);
  const releases = [area.close];
  const release = () => {
    for (const each of releases.splice(0).reverse()) each();
  };
  try {
    const bwrap = await bubblewrap(options.environment, area);
    const points = await holdMountPoints(area.shields);
    releases.push(points.release);
    const plan: ConfinementPlan = {
      profile: options.profile,
      network: options.policy.type === "workspace-write" && options.policy.network_access ? "host" : "none",
      proc: bwrap.proc,
      mounts: [
        ...mountsOf(area, points),
        ...(isPrivate ? await privateMounts(options, { roots: area.roots, workdir: command.workdir }) : []),
      ],
      variables: isPrivate ? withoutServers(command.env) : command.env,
      workdir: command.workdir,
    };
    const { args, handles } = bubblewrapArguments(plan, bwrap);
    const given = await namelessFile(Buffer.from(args.map((arg) => `${arg}\0`).join("")));
    releases.push(() => closeAll([given]));
    const filter = await namelessFile(seccompFilter(machine, plan.profile));
    releases.push(() => closeAll([filter]));
    return {
      argv: [bwrap.path, "--args", "3", "--seccomp", "4", "--", ...command.argv],
      cwd: "/",
      env: {},
      handles: [given.fd, filter.fd, ...handles],
      release,
    };
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * Why commands cannot be confined so; undefined when they can.
 * @throws what is no matter of the sandbox
 */
export async function obstacleTo(options: ConfineOptions): Promise<string | undefined> {
  try {
    knownMachine();
    const area = await openArea(options, options.folders);
    area.close();
    await bubblewrap(options.environment, area);
    return undefined;
  } catch (error) {
    if (error instanceof SandboxUnavailableError) return error.message;
    throw error;
  }
}

/** @throws SandboxUnavailableError where no filter is known for the processor */
function knownMachine() {
  const machine = thisMachine();
  if (machine === undefined) throw new SandboxUnavailableError(`there is no sandbox here: none for ${process.arch}`);
  return machine;
}

function mountsOf(area: OpenArea, points: { existing: readonly string[]; held: readonly string[] }): Mount[] {
  return [
    ...[...area.rootHandles, ...area.pins].map(
      ({ path, handle }): Mount => ({ kind: "writable", path, handle: handle.fd }),
    ),
    ...points.existing.map((path): Mount => ({ kind: "readable", path })),
    ...points.held.map((path): Mount => ({ kind: "empty", path })),
  ];
}
