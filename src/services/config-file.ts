/**
 * config.toml of a home.
 *
 * - A file that is not there is an empty one.
 * - The text is parsed again only when the file has changed; who asks after a change gets the new contents.
 * - A write changes one value and nothing else of the text, and replaces the file whole. Writes from one process come one
 *   after another; a change that another program makes before the moment of replacement is taken up, not overwritten.
 */
import { join } from "node:path";
import { Mutex } from "async-mutex";
import { parse, TomlError } from "smol-toml";
import { InvalidRequestError, StoreIoError } from "../protocol/errors.ts";
import { readText, stampOf } from "./bounded-read.ts";
import { checkConfig } from "./config-schema.ts";
import { type ConfigTable, type KeyPath, mergeTables, parseKeyPath, versionOf } from "./config-table.ts";
import { ioText } from "./io-failure.ts";
import { isPlainName } from "./plain-name.ts";
import { replaceFile } from "./replace-file.ts";
import { SingleFlight } from "./single-flight.ts";
import { editToml } from "./toml-edit.ts";
import { tomlStatements } from "./toml-statements.ts";

/** What the file holds at one moment. Shared, so not to be changed. */
export type ConfigFileContents = {
  readonly path: string;
  readonly text: string;
  readonly table: ConfigTable;
  /** Codex's fingerprint of the contents. */
  readonly version: string;
  /** The line of a key, or of the nearest table around it; undefined when neither is written. */
  lineOf(path: KeyPath): number | undefined;
};

/** The file `config.toml` of a home: read whole, and written key by key with its comments and order kept. */
export interface ConfigFile {
  readonly path: string;
  /**
   * What the file holds now.
   *
   * @throws InvalidRequestError that names the file, the line, the key and the problem; StoreIoError when it cannot be read.
   */
  read(): Promise<ConfigFileContents>;
  /**
   * Sets one value, or removes it when the value is null or undefined.
   *
   * @throws InvalidRequestError when the file would not be valid with it, or is not at `expectedVersion`; StoreIoError.
   */
  write(
    keyPath: string | KeyPath,
    value: unknown,
    options?: { readonly expectedVersion?: string | undefined },
  ): Promise<ConfigFileContents>;
}

/** The file `<home>/config.toml`. Does no IO before it is asked. */
export const createConfigFile = (home: string): ConfigFile => new TomlFile(join(home, "config.toml"));

/** The file of a profile, `<home>/NAME.config.toml`; undefined for a name that is not plain, and so names no file. */
export const profileFile = (home: string, name: string): ConfigFile | undefined =>
  isPlainName(name) ? new TomlFile(join(home, `${name}.config.toml`)) : undefined;

const MAX_BYTES = 1 << 20;
const WRITE_TRIES = 5;
/** By path, for this process: two ConfigFiles may stand for one file. */
const writing = new Map<string, { readonly mutex: Mutex; users: number }>();

type Seen = { readonly stamp: string | null; readonly contents: ConfigFileContents };

class TomlFile implements ConfigFile {
  readonly path: string;
  readonly #looks = new SingleFlight<Seen>();
  #seen: Seen | undefined;

  constructor(path: string) {
    this.path = path;
  }

  async read(): Promise<ConfigFileContents> {
    return (await this.#look()).contents;
  }

  async write(
    keyPath: string | KeyPath,
    value: unknown,
    options: { readonly expectedVersion?: string | undefined } = {},
  ): Promise<ConfigFileContents> {
    const path = typeof keyPath === "string" ? parseKeyPath(keyPath) : keyPath;
    return inTurn(this.path, async () => {
      for (let attempt = 0; attempt < WRITE_TRIES; attempt++) {
        const { stamp, contents } = await this.#look();
        if (options.expectedVersion !== undefined && options.expectedVersion !== contents.version) {
          throw new InvalidRequestError(`${this.path} was changed since it was read; read it again and retry`);
        }
        const text = editToml(contents.text, path, value);
        contentsOf(this.path, text);
        if ((await this.#stamp()) !== stamp) continue;
        await replaceFile(this.path, text);
        return await this.read();
      }
      throw new StoreIoError(`failed to write ${this.path}: another program keeps changing it`);
    });
  }

  #look(): Promise<Seen> {
    return this.#looks.ask(this.path, async () => {
      const stamp = await this.#stamp();
      if (this.#seen !== undefined && this.#seen.stamp === stamp) return this.#seen;
      const text = stamp === null ? "" : await this.#text();
      this.#seen = { stamp, contents: contentsOf(this.path, text) };
      return this.#seen;
    });
  }

  async #stamp(): Promise<string | null> {
    try {
      return await stampOf(this.path);
    } catch (error) {
      throw new StoreIoError(`failed to read ${this.path}: ${ioText(error)}`, { cause: error });
    }
  }

  async #text(): Promise<string> {
    try {
      return await readText(this.path, MAX_BYTES);
    } catch (error) {
      if (error instanceof InvalidRequestError)
        throw new InvalidRequestError(`${this.path}: ${error.message}`, { cause: error });
      throw new StoreIoError(`failed to read ${this.path}: ${ioText(error)}`, { cause: error });
    }
  }
}

function contentsOf(path: string, text: string): ConfigFileContents {
  const table = parsed(path, text);
  let lines: ReadonlyMap<string, number> | undefined;
  const lineOf = (key: KeyPath) => {
    lines ??= linesOf(text);
    return nearest(lines, key);
  };
  checkConfig(table, (key) => [path, lineOf(key)].filter((part) => part !== undefined).join(":"));
  return { path, text, table, version: versionOf(table), lineOf };
}

/** The parser's message quotes lines of the file, which may hold a secret: only its first line is passed on. */
function parsed(path: string, text: string): ConfigTable {
  try {
    // The parser's tables have no prototype; merging makes ordinary ones.
    return mergeTables({}, parse(text));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const problem = error.message.split("\n")[0]?.replace(/^Invalid TOML document: /, "");
    throw new InvalidRequestError(`${path}:${error.line}:${error.column}: ${problem}`);
  }
}

/** Of each statement's path, as JSON, its first line. */
const linesOf = (text: string): Map<string, number> =>
  new Map(
    tomlStatements(text)
      .map(({ path, line }): [string, number] => [JSON.stringify(path), line])
      .reverse(),
  );

const nearest = (lines: ReadonlyMap<string, number>, path: KeyPath): number | undefined =>
  path.length === 0 ? undefined : (lines.get(JSON.stringify(path)) ?? nearest(lines, path.slice(0, -1)));

async function inTurn<T>(path: string, work: () => Promise<T>): Promise<T> {
  const turn = writing.get(path) ?? { mutex: new Mutex(), users: 0 };
  writing.set(path, turn);
  turn.users++;
  try {
    return await turn.mutex.runExclusive(work);
  } finally {
    turn.users--;
    if (turn.users === 0) writing.delete(path);
  }
}
