import { createHash } from "node:crypto";

/** Longer than this a diff is not worth the wait: everything is shown as replaced. */
const TIMEOUT_MS = 500;

/** The hunks of a unified diff, without file headers; empty when nothing changed. */
export async function unifiedDiff(before: string, after: string, context: number): Promise<string> {
  // Loaded with the first patch: most processes never see one.
  const { structuredPatch } = await import("diff");
  const patch = structuredPatch("", "", before, after, "", "", { context, timeout: TIMEOUT_MS });
  const hunks = patch?.hunks ?? [replacement(before, after)];
  return hunks
    .map((hunk) => {
      const old = range(hunk.oldStart, hunk.oldLines);
      return `@@ -${old} +${range(hunk.newStart, hunk.newLines)} @@\n${hunk.lines.map((line) => `${line}\n`).join("")}`;
    })
    .join("");
}

/** A range without lines is named by the line before it. */
const range = (start: number, count: number): string =>
  count === 1 ? String(start) : `${count === 0 ? start - 1 : start},${count}`;

function replacement(before: string, after: string) {
  const removed = before.split("\n").slice(0, before.endsWith("\n") ? -1 : undefined);
  const added = after.split("\n").slice(0, after.endsWith("\n") ? -1 : undefined);
  const lines = [...removed.map((line) => `-${line}`), ...added.map((line) => `+${line}`)];
  return { oldStart: 1, oldLines: removed.length, newStart: 1, newLines: added.length, lines };
}

/** The id that git gives a file of this content; zeros for none. */
export function blobId(content: string | null): string {
  if (content === null) return "0".repeat(40);
  const bytes = Buffer.from(content);
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}
