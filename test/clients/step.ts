/** What a client's user does, and sees. */
export type Step = { readonly name: string; readonly run: () => Promise<void> };

/** What went wrong: nothing, or the first step that failed. */
export async function runSteps(steps: readonly Step[]): Promise<string[]> {
  for (const { name, run } of steps) {
    try {
      await run();
    } catch (error) {
      return [`${name}: ${error instanceof Error ? error.message : error}`];
    }
    process.stdout.write(`  seen: ${name}\n`);
  }
  return [];
}
