/** The file of `--output-last-message`: what a completed turn said last, and nothing else. After any other turn it is as it was. */
import { access, constants, stat, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { notWritten } from "../failure.ts";
import type { Io } from "../terminal/io.ts";

export class LastMessageFile {
  readonly #path: string;
  readonly #io: Io;

  private constructor(path: string, io: Io) {
    this.#path = path;
    this.#io = io;
  }

  /** Before a turn is paid for. @throws StoreIoError where it could not be written */
  static async at(name: string, io: Io): Promise<LastMessageFile> {
    const path = resolve(io.cwd(), name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory()) notWritten(path)(new Error("it is a folder"));
    await access(found === undefined ? dirname(path) : path, constants.W_OK).catch(notWritten(path));
    return new LastMessageFile(path, io);
  }

  /** @throws StoreIoError */
  async write(message: string | null): Promise<void> {
    if (message === null) this.#io.stderr.write(`warning: the turn said nothing; ${this.#path} is empty\n`);
    await writeFile(this.#path, message === null ? "" : `${message}\n`).catch(notWritten(this.#path));
  }
}
