/** What a client's user does, and sees. */
export type Step = { readonly name: string; readonly run: () => Promise<void> };
/** How a step went: without a problem, it passed. */
export type Outcome = { readonly step: string; readonly problem?: string };

const told = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const DEADLINE_MS = 100_000;

async function inTime(done: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("it takes too long")), DEADLINE_MS);
  await Promise.race([done, promise]).finally(() => clearTimeout(timer));
}

/** Steps of one story: what comes after the first that failed has not been reached. */
export async function runSteps(steps: readonly Step[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  let failed: string | undefined;
  for (const { name, run } of steps) {
    if (failed === undefined) {
      try {
        await inTime(run());
        outcomes.push({ step: name });
        continue;
      } catch (error) {
        outcomes.push({ step: name, problem: told(error) });
        failed = name;
        continue;
      }
    }
    outcomes.push({ step: name, problem: `not reached after ${failed}` });
  }
  return outcomes;
}

/** Steps that have nothing to do with each other. */
export async function runEach(steps: readonly Step[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const step of steps) outcomes.push(...(await runSteps([step])));
  return outcomes;
}
