import { createHash } from "node:crypto";

/** What models accept as a tool's name. */
const LONGEST = 64;

/**
 * `mcp__<server>__<tool>`, in letters that models accept. A name that is too long, or has had to be changed, ends in a
 * hash of what it stands for, so that two tools never share one.
 */
export function toolName(server: string, tool: string): string {
  const plain = `mcp__${server}__${tool}`;
  const accepted = plain.replaceAll(/[^a-zA-Z0-9_-]/g, "_");
  if (accepted === plain && plain.length <= LONGEST) return plain;
  const hash = createHash("sha1").update(plain).digest("hex").slice(0, 12);
  return `${accepted.slice(0, LONGEST - hash.length - 1)}_${hash}`;
}
