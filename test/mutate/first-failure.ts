/**
 * A test reporter that ends the process at the first test that fails, and names its file: one failure is enough to know that
 * a mutant is dead. It writes to handle 3: `at FILE` when a file's first test begins, `failed FILE`.
 */
import { writeSync } from "node:fs";
import type { TestEvent } from "node:test/reporters";

/** What still keeps the process alive this long after its last test was left behind by one. */
const LINGER_MS = 3000;

const tell = (line: string) => writeSync(3, `${line}\n`);

export default async function* firstFailure(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let at: string | undefined;
  for await (const { type, data } of events) {
    if (type === "test:dequeue" && data.file !== undefined && data.file !== at) {
      at = data.file;
      tell(`at ${at}`);
    }
    if (type === "test:complete" && !data.details.passed && data.todo === undefined) {
      tell(`failed ${data.file ?? at ?? ""}`);
      process.exit(1);
    }
    if (type === "test:summary") {
      const last = at;
      setTimeout(() => {
        tell(`failed ${last ?? ""}`);
        process.exit(1);
      }, LINGER_MS).unref();
    }
  }
  yield "";
}
