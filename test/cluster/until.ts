import assert from "node:assert/strict";

/** Looks again and again, since other processes tell nobody: resolves with what is found; fails where nothing is within `ms`. */
export const until = async <T>(look: () => T | Promise<T>, ms = 30_000): Promise<NonNullable<T>> => {
  for (const end = Date.now() + ms; ; ) {
    const found = await look();
    if (found) return found as NonNullable<T>;
    if (Date.now() > end) assert.fail(`never came true: ${look}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
