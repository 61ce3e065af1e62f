import * as z from "zod";
import { InvalidRequestError } from "./errors.ts";

type Issue = z.core.$ZodIssue;
type Found = { path: PropertyKey[]; issue: Issue };

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

/**
 * A schema for a tagged family: one lookup by `type` in place of a union's scan, so that messages name one kind only.
 * An unknown kind passes as it is; a known one keeps its unknown fields. It checks and fills in no defaults.
 */
export function schemaByKind(known: ReadonlyMap<string, z.ZodType>): z.ZodType {
  return z.looseObject({ type: z.string() }).superRefine((value, context) => {
    const result = known.get(value.type)?.safeParse(value);
    for (const issue of result?.error?.issues ?? []) {
      const { path, issue: meant } = deepest(issue, []);
      context.addIssue({ ...meant, path: [...path] });
    }
  });
}

/** What is wrong and where, in one line. */
export const explainIssues = (issues: readonly Issue[]): string =>
  issues
    .map((issue) => deepest(issue, []))
    .map(({ path, issue: { message } }) => (path.length === 0 ? message : `${pathText(path)}: ${message}`))
    .join("; ");

/** Of a union, the branch that got furthest is the one that the caller meant. */
function deepest(issue: Issue, above: readonly PropertyKey[]): Found {
  const path = [...above, ...issue.path];
  const here: Found = { path, issue };
  if (issue.code !== "invalid_union") return here;
  const inner = issue.errors.flatMap((branch) => branch.map((sub) => deepest(sub, path)));
  return inner.reduce((best, found) => (found.path.length > best.path.length ? found : best), here);
}

const pathText = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? String(key) : `${text}.${String(key)}`;
  }, "");
