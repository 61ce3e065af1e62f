import type { z } from "zod";
import { InvalidRequestError } from "./errors.ts";

type Issue = z.core.$ZodIssue;
type Found = { path: string; problem: string; depth: number };

/**
 * Reads `value` by `schema`.
 *
 * @throws InvalidRequestError `<what>: <path>: <problem>`, one part for each problem, so that the caller finds the place.
 */
export function parseWith<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new InvalidRequestError(`${what}: ${explainIssues(result.error.issues)}`, { cause: result.error });
}

/** What is wrong and where, in one line. */
export const explainIssues = (issues: readonly Issue[]): string =>
  issues
    .map((issue) => deepest(issue, []))
    .map(({ path, problem }) => (path === "" ? problem : `${path}: ${problem}`))
    .join("; ");

/** Of a union, the branch that got furthest is the one that the caller meant. */
function deepest(issue: Issue, above: readonly PropertyKey[]): Found {
  const path = [...above, ...issue.path];
  const here: Found = { path: pathText(path), problem: issue.message, depth: path.length };
  if (issue.code !== "invalid_union") return here;
  const inner = issue.errors.flatMap((branch) => branch.map((sub) => deepest(sub, path)));
  return inner.reduce((best, found) => (found.depth > best.depth ? found : best), here);
}

const pathText = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? String(key) : `${text}.${String(key)}`;
  }, "");
