import { DEFAULT_TOOLS } from "../../app-server/default-tools.ts";
import { openHome, ThreadManager } from "../../index.ts";
import { untilAborted } from "../../kernel/abort-listeners.ts";
import { bridgeStudio } from "../../studio/bridge.ts";
import { createStudio, type StudioServer } from "../../studio/create-studio.ts";
import { homeOf } from "../home-folder.ts";
import { Interruption } from "../interruption.ts";
import type { Io } from "../terminal/io.ts";
import { tokenOf } from "../tree/line.ts";
import { showAddress } from "./address.ts";

export type StudioCommandOptions = {
  readonly listen: string;
  readonly connect?: string;
  readonly wsTokenFile?: string;
  readonly readOnly?: boolean;
  readonly open: boolean;
  readonly home?: string;
};

/** Serves until it is interrupted. @throws InvalidRequestError, StoreIoError */
export async function runStudio(options: StudioCommandOptions, io: Io): Promise<void> {
  using interruption = new Interruption();
  if (options.connect === undefined) await showHome(options, io, interruption);
  else {
    const access = options.readOnly === true ? "look" : "act";
    const token = await tokenOf(options, io);
    await using studio = await bridgeStudio({ ...options, connect: options.connect, access, token });
    await show(studio, options, io, interruption);
  }
  interruption.throwIfInterrupted();
}

async function showHome(options: StudioCommandOptions, io: Io, interruption: Interruption): Promise<void> {
  const cwd = io.cwd();
  const home = await openHome({
    home: homeOf(options, io),
    env: io.env,
    cwd,
    typed: { builtInTools: DEFAULT_TOOLS },
    sessionSource: "cli",
  });
  try {
    await using manager = await ThreadManager.create(home.options);
    const access = options.readOnly === true ? "look" : "ask";
    await using studio = await createStudio(manager, { listen: options.listen, access, home, cwd });
    await show(studio, options, io, interruption);
  } finally {
    await home.close();
  }
}

async function show(
  studio: StudioServer,
  { open }: StudioCommandOptions,
  io: Io,
  { signal }: Interruption,
): Promise<void> {
  using _shown = showAddress(studio, io, { opens: open });
  await untilAborted(signal);
}
