/** A shell script that does nothing but apply a patch, as models write it that were taught to. */
export type PatchScript = { readonly text: string; readonly folder: string | null };

const FOLDER = String.raw`(?:cd\s+(?:'(?<single>[^']*)'|"(?<double>[^"$\`\\]*)"|(?<bare>[^\s'"$\`\\;&|<>()]+))\s*&&\s*)?`;
const HEREDOC = new RegExp(
  String.raw`^\s*${FOLDER}(?:apply_patch|applypatch)\s*<<-?\s*(?<quote>['"]?)(?<tag>\w+)\k<quote>[ \t]*\n(?<text>[\s\S]*?)\n[ \t]*\k<tag>\s*$`,
);
const QUOTED = new RegExp(
  String.raw`^\s*${FOLDER}(?:apply_patch|applypatch)\s+(?:'(?<raw>[^']*)'|"(?<cooked>[^"$\`\\]*)")\s*$`,
);

/** The patch and the folder that the script goes to before it; undefined for any other script. */
export function patchInScript(script: string): PatchScript | undefined {
  const groups = HEREDOC.exec(script)?.groups ?? QUOTED.exec(script)?.groups;
  if (groups === undefined) return undefined;
  const text = groups.text ?? groups.raw ?? groups.cooked;
  if (text === undefined || !text.includes("*** Begin Patch")) return undefined;
  return { text, folder: groups.single ?? groups.double ?? groups.bare ?? null };
}
