/**
 * Mends what verifyHome names, as far as that is possible without guessing.
 *
 * - Before a file is changed its bytes are kept beside it, as `<file>.orig`, `<file>.orig.1` and so on.
 * - Lines that can be read are never taken away. Where a file has heirs, its lines keep their bytes' places: what
 *   cannot be read is overwritten in place, so that the offsets in the heirs' headers stay true.
 * - A thread that somebody writes is left alone, and so is what only a person can decide: a missing base, a file
 *   without a header, headers of two threads in one file.
 */

import { silentLog } from "../../../kernel/log.ts";
import { paced } from "../../../kernel/pace.ts";
import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import { Catalog } from "../catalog/catalog.ts";
import { HomeScan } from "../catalog/scan.ts";
import { nodeFileSystem } from "../file-system.ts";
import { Layout } from "../layout.ts";
import { StoreCore } from "../store-core.ts";
import { protect, type WidePath, widePaths } from "./permissions.ts";
import { RolloutMender } from "./rollout-mender.ts";
import { type Fault, type VerifyOptions, type VerifyReport, verifyHome } from "./verify.ts";

export type RepairReport = {
  readonly before: VerifyReport;
  readonly after: VerifyReport;
  readonly mended: readonly Fault[];
  /** What is still wrong. */
  readonly left: readonly Fault[];
  /** The originals of changed files. */
  readonly kept: readonly string[];
};

const INDEX_FAULTS: ReadonlySet<string> = new Set(["catalog_missing", "catalog_stale", "catalog_extra"]);

/** @throws StoreIoError, the signal's reason */
export async function repairHome(options: VerifyOptions): Promise<RepairReport> {
  const before = await verifyHome(options);
  const kept: string[] = [];
  if (before.faults.length > 0) {
    const core = new StoreCore({ home: options.home, fileSystem: options.fileSystem ?? nodeFileSystem });
    try {
      const mender = new RolloutMender(core);
      for (const [path, faults] of byFile(before.faults.filter(({ kind }) => kind !== "open_to_others"))) {
        options.signal?.throwIfAborted();
        await yieldToLoop();
        const original = await mender.mend(path, faults);
        if (original !== undefined) kept.push(original);
      }
      for (const { kind, path } of before.faults) {
        await yieldToLoop();
        if (kind === "leftover" || kind === "tombstone_unneeded") core.fs.remove(path);
      }
      if (before.faults.some(({ kind }) => kind === "orphan_lease")) await core.leases.sweep();
      if (kept.length > 0 || before.faults.some(({ kind }) => INDEX_FAULTS.has(kind))) await rescan(core);
    } finally {
      core.closeLeases();
    }
  }
  const fs = options.fileSystem ?? nodeFileSystem;
  // Also what no others can reach, and what was written just now, such as the originals beside mended files.
  const wide: WidePath[] = [];
  for await (const path of widePaths(fs, new Layout(options.home))) wide.push(path);
  await paced(wide, (path) => protect(fs, path));
  const after = before.faults.length === 0 ? before : await verifyHome(options);
  const left = new Set(after.faults.map(keyOf));
  return { before, after, mended: before.faults.filter((fault) => !left.has(keyOf(fault))), left: after.faults, kept };
}

const keyOf = ({ kind, path, detail }: Fault): string => `${kind} ${path} ${detail}`;

function byFile(faults: readonly Fault[]): Map<string, Fault[]> {
  const files = new Map<string, Fault[]>();
  for (const fault of faults) files.set(fault.path, [...(files.get(fault.path) ?? []), fault]);
  return files;
}

async function rescan(core: StoreCore): Promise<void> {
  const { fs, layout } = core;
  if (fs.infoOf(layout.catalog) === undefined) return;
  const { catalog } = Catalog.open(layout.catalog);
  try {
    await new HomeScan({ ...core.scanEnv, log: silentLog, isClosed: () => false, isLive: () => false }, catalog).scan();
  } finally {
    catalog.close();
  }
}
