/**
 * `npm run bench:peers`: the same work done by other libraries and programs, for bench/results/peers.json. Their packages are
 * fetched into .cache/peers and are no dependencies of the project. Each peer runs in a process of its own, for so long and no
 * longer; one that cannot be fetched, fails or hangs is told, and the others go on. The stock Codex binaries are fetched here too,
 * for the app-server's bench, which drives them beside Skein's. Names on the command line choose peers by their beginnings.
 */
import { cpSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { runBounded } from "../bounded-run.ts";
import { openRoot } from "../folders.ts";
import type { Line } from "../summary.ts";
import { CACHE, fetchPackages, versionOf } from "./fetch.ts";

type Peer = {
  readonly name: string;
  /** The folder of its packages; peers of one library share it. */
  readonly folder: string;
  readonly packages: readonly string[];
  readonly overrides?: Readonly<Record<string, string>>;
  readonly module: string;
  /** Which of the kinds that its module has. */
  readonly kind?: string;
};

const LANGGRAPH = ["@langchain/langgraph", "@langchain/core"];

const PEERS: readonly Peer[] = [
  { name: "skein", folder: "skein", packages: [], module: "skein.mjs" },
  { name: "skein-memory", folder: "skein", packages: [], module: "skein.mjs", kind: "memory" },
  { name: "xstate", folder: "xstate", packages: ["xstate"], module: "xstate.mjs" },
  { name: "nact", folder: "nact", packages: ["nact"], module: "nact.mjs" },
  { name: "langgraph-memory", folder: "langgraph", packages: LANGGRAPH, module: "langgraph.mjs" },
  {
    name: "langgraph-sqlite",
    folder: "langgraph-sqlite",
    packages: [...LANGGRAPH, "@langchain/langgraph-checkpoint-sqlite"],
    // Up to its version 12 it aborts the process when Node 24 collects a statement.
    overrides: { "better-sqlite3": "^13.2.0" },
    module: "langgraph.mjs",
    kind: "sqlite",
  },
  {
    ...{ name: "openai-agents", folder: "openai-agents", module: "openai-agents.mjs" },
    packages: ["@openai/agents", "zod"],
  },
  {
    ...{ name: "claude-agent-sdk", folder: "claude-agent-sdk", module: "claude-agent-sdk.mjs" },
    packages: ["@anthropic-ai/claude-agent-sdk"],
  },
  {
    ...{ name: "mastra", folder: "mastra", module: "mastra.mjs" },
    packages: ["@mastra/core", "@mastra/libsql", "@mastra/memory"],
  },
  { name: "erlang", folder: "erlang", packages: [], module: "erlang.mjs" },
];
const CODEX = ["0.80.0", "0.169.0", "0.171.0"];

const PEER_SECONDS = 120;
const ROOT = join(import.meta.dirname, "../..");
const RESULTS = join(import.meta.dirname, "../results");

openRoot();
const chosen = process.argv.slice(2);
const isChosen = (name: string): boolean => chosen.length === 0 || chosen.some((part) => name.startsWith(part));
const lines: Line[] = [];
const failures: { peer: string; why: string }[] = [];
const fail = (peer: string, why: string): void => {
  failures.push({ peer, why });
  process.stdout.write(`FAILED: ${peer}: ${why}\n`);
};

for (const peer of PEERS.filter(({ name }) => isChosen(name))) {
  const folder = join(CACHE, "peers", peer.folder);
  try {
    await fetchPackages(folder, peer.packages, peer.overrides);
  } catch (error) {
    fail(peer.name, `it could not be fetched: ${shortOf(error)}`);
    continue;
  }
  for (const file of readdirSync(import.meta.dirname).filter((name) => name.endsWith(".mjs")))
    cpSync(join(import.meta.dirname, file), join(folder, file));
  process.stdout.write(`-- ${peer.name}\n`);
  const ended = await runBounded({
    command: [process.execPath, "--no-warnings", "driver.mjs", join(folder, peer.module)],
    cwd: folder,
    seconds: PEER_SECONDS,
    env: {
      SKEIN_DIST: join(ROOT, "dist/src/index.js"),
      SKEIN_PEER: peer.kind ?? "",
      SKEIN_PEER_VERSION: versionOf(folder, peer.packages[0]),
    },
    onLine: (line) => process.stdout.write(`${JSON.stringify(line)}\n`),
  });
  for (const line of ended.lines) {
    if (line.failed === undefined) lines.push(line);
    else fail(peer.name, `${String(line.work)} ${String(line.messages ?? "")}: ${String(line.failed)}`);
  }
  if (ended.failure !== undefined) fail(peer.name, ended.failure);
  if (chosen.length === 0) save();
}
for (const version of CODEX.filter((each) => isChosen(`codex-${each}`))) {
  try {
    await fetchPackages(join(CACHE, `codex-${version}`), [`@openai/codex@${version}`]);
    process.stdout.write(`-- codex ${version} is there for the app-server's bench\n`);
  } catch (error) {
    fail(`codex ${version}`, `it could not be fetched: ${shortOf(error)}`);
  }
}
if (chosen.length === 0) save();

function shortOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, " ").slice(0, 160);
}

function save(): void {
  const about = { when: new Date().toISOString(), node: process.version, cores: cpus().length };
  mkdirSync(RESULTS, { recursive: true });
  const rows = lines.map((line) => `  ${JSON.stringify(line)}`).join(",\n");
  writeFileSync(
    join(RESULTS, "peers.json"),
    `{"about": ${JSON.stringify(about)},\n"failures": ${JSON.stringify(failures)},\n"lines": [\n${rows}\n]}\n`,
  );
}
