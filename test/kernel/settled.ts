/** Resolves when every promise reaction that can run without further time or IO has run. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export type Outcome<T> = { value: T } | { reason: unknown } | "pending";

/** What has become of the promise; it is never an unhandled rejection. */
export function observe<T>(promise: PromiseLike<T>): { outcome: Outcome<T> } {
  const seen: { outcome: Outcome<T> } = { outcome: "pending" };
  promise.then(
    (value) => {
      seen.outcome = { value };
    },
    (reason: unknown) => {
      seen.outcome = { reason };
    },
  );
  return seen;
}
