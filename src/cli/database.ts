/** Threads in a database in place of the home's files: `--store`, or SKEIN_STORE. */
import { raceAbort } from "../kernel/cancellation.ts";
import type { ThreadManagerOptions } from "../manager/options.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { didYouMean } from "../protocol/nearest-name.ts";
import type { PostgresStore } from "../store/postgres/postgres-store.ts";
import { askedToEnd } from "./asked-end.ts";
import { UsageError } from "./failure.ts";
import type { Io } from "./terminal/io.ts";

export type StoreOption = { readonly store?: string | undefined };

const SCHEMES = ["postgres", "postgresql"];
const FORM = "postgres://USER@HOST:PORT/DATABASE";

/** The address that is named; undefined: the home's files are meant. `--store ""` names them, whatever SKEIN_STORE says. */
export function storeUrlOf({ store }: StoreOption, { env }: Pick<Io, "env">): string | undefined {
  const [named, by] = store === undefined ? [env.SKEIN_STORE, "SKEIN_STORE"] : [store, "--store"];
  if (named === undefined || named.trim() === "") return undefined;
  assertDatabaseUrl(named, by);
  return named;
}

export const isUrl = (text: string): boolean => /^[a-z][a-z0-9+.-]*:\/\//i.test(text);

/** What is refused is never repeated: there may be a password in it. @throws UsageError */
export function assertDatabaseUrl(text: string, by: string): void {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (scheme === undefined) {
    throw new UsageError(`${by} takes the address of a database, ${FORM}; a folder is named by --home`);
  }
  if (!SCHEMES.includes(scheme.toLowerCase())) {
    const near = didYouMean(scheme.toLowerCase(), SCHEMES) || `; ${FORM} is`;
    throw new UsageError(`${by}: \`${scheme}://\` is no store that Skein knows${near}`);
  }
  if (!URL.canParse(text))
    throw new UsageError(`${by} cannot be read as ${FORM}; encode what is special in the password`);
}

/**
 * The store of an address, connected, so that one that does not answer is told before anything else happens. A parameter
 * `schema` of the address names the schema of the tables.
 *
 * @throws StoreIoError, InvalidRequestError (the package `pg` is missing), Exit (a signal has asked for the process's end)
 */
export async function openDatabase(address: string): Promise<PostgresStore> {
  const url = new URL(address);
  const schema = url.searchParams.get("schema");
  url.searchParams.delete("schema");
  const { postgresStore } = await import("../store/postgres/postgres-store.ts");
  // An address without a parameter of ours stays as it is written.
  const connectionString = schema === null ? address : url.toString();
  const store = postgresStore({ connectionString, ...(schema !== null && { schema }) });
  try {
    await raceAbort(store.connect(), askedToEnd);
    return store;
  } catch (error) {
    await raceAbort(store.close(), askedToEnd).catch(() => undefined); // that it does not answer is told
    throw error;
  }
}

/** For what a manager is made with, as long as it works. */
export class ChosenStore implements AsyncDisposable {
  readonly #database: PostgresStore | undefined;

  private constructor(database: PostgresStore | undefined) {
    this.#database = database;
  }

  static async of(option: StoreOption, io: Io): Promise<ChosenStore> {
    const url = storeUrlOf(option, io);
    return new ChosenStore(url === undefined ? undefined : await openDatabase(url));
  }

  /** Nothing where threads lie in the home's files: the manager opens and closes those itself. */
  get options(): Pick<ThreadManagerOptions, "store"> {
    return this.#database === undefined ? {} : { store: this.#database };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database?.close();
  }
}

/** For a command that works on files alone. @throws InvalidRequestError where a database is named */
export function assertFiles(what: string, option: StoreOption, io: Io): void {
  if (storeUrlOf(option, io) === undefined) return;
  throw new InvalidRequestError(
    `${what}, and threads lie in a database here (--store or SKEIN_STORE); --store "" names the home's files`,
  );
}
