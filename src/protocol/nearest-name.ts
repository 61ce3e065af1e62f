/** The known name that an unknown one may have meant, as the end of an error's text; empty when none is near. */
export function didYouMean(unknown: string, known: readonly string[]): string {
  const wanted = squeezed(unknown);
  const [nearest] = known
    .map((name) => ({ name, distance: editDistance(wanted, squeezed(name)) }))
    .sort((a, b) => a.distance - b.distance);
  if (nearest === undefined || nearest.distance > Math.max(2, wanted.length / 3)) return "";
  return `; did you mean \`${nearest.name}\`?`;
}

/** Codex's config files write the same keys in snake_case. */
const squeezed = (key: string): string => key.replaceAll(/[_-]/g, "").toLowerCase();

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, left] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, right] of [...b].entries()) {
      const swap = (row[j] ?? 0) + (left === right ? 0 : 1);
      next.push(Math.min(swap, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? a.length;
}
