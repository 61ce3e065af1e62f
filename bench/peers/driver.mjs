/**
 * The same work for every peer. Runs in the folder that has the peer's packages, as `node driver.mjs PEER.mjs`, and prints a JSON
 * line for each piece of work: the median of several times, within seconds, whatever a peer takes.
 *
 * A peer is `{ name, version, open(folder) }`; what it opens may have `start`, `message`, `build`, `fork` and `reopen`. What a peer
 * does not have is left out.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const SIZES = [10, 1_000, 10_000];
const SECONDS = 4;
const LEAST = 3;

const { peer } = await import(pathToFileURL(process.argv[2] ?? "").href);
const folder = mkdtempSync(join(process.env.SKEIN_BENCH_ROOT ?? tmpdir(), "peer-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

const opened = await peer.open(folder);
await measure("start", {}, opened.start && { most: 500, work: () => opened.start() });
if (opened.message !== undefined) {
  const thread = await opened.start();
  await measure("message", {}, { most: 300, work: () => opened.message(thread, "and now?") });
}
for (const messages of SIZES) {
  if (opened.build === undefined) break;
  const thread = await opened.build(messages);
  await measure("fork", { messages }, opened.fork && { most: 50, work: () => opened.fork(thread, messages / 2) });
  await measure("resume", { messages }, opened.reopen && { most: 30, work: () => opened.reopen(thread, messages) });
}
process.exit(0);

async function measure(work, facts, task) {
  if (task === undefined) return;
  const us = [];
  try {
    await task.work();
    const until = performance.now() + SECONDS * 1_000;
    while (us.length < task.most && (us.length < LEAST || performance.now() < until)) {
      const begun = performance.now();
      const told = await task.work();
      // A peer of another runtime times its work there.
      us.push(told?.tookUs ?? (performance.now() - begun) * 1_000);
    }
  } catch (error) {
    console.log(
      JSON.stringify({ peer: peer.name, work, ...facts, failed: String(error?.message ?? error).slice(0, 200) }),
    );
    return;
  }
  us.sort((a, b) => a - b);
  const rounded = (value) => Number(value.toPrecision(4));
  const summary = { median: rounded(us[us.length >> 1]), min: rounded(us[0]), max: rounded(us.at(-1)), n: us.length };
  console.log(JSON.stringify({ peer: peer.name, version: peer.version, work, ...facts, us: summary }));
}
