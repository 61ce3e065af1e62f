import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder that is gone at the end, also when the process exits in the middle of its work. */
export class TemporaryFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "skein-demo-"));

  constructor() {
    process.once("exit", this.#remove);
  }

  readonly #remove = (): void => rmSync(this.path, { recursive: true, force: true, maxRetries: 3 });

  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    this.#remove();
  }
}
