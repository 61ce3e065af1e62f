/** What PostgreSQL and the way to it answer, as errors of the store. */
import { SkeinError, StoreIoError } from "../../protocol/errors.ts";

const codeOf = (error: unknown): string => {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
};

/** A row that another one refers to cannot go; one cannot refer to a row that is gone. */
export const isForeignKeyViolation = (error: unknown): boolean => codeOf(error) === "23503";

const CONNECTION = /^(?:08...|57P0[123]|E[A-Z]+)$/;
const LOST = /connection terminated|client has encountered a connection error|timeout exceeded|connection ended/i;

/** The connection was lost, or there was none: whether the statement ran is not known. */
export const isDisconnection = (error: unknown): boolean =>
  CONNECTION.test(codeOf(error)) || (error instanceof Error && codeOf(error) === "" && LOST.test(error.message));

/** Another transaction was in the way: nothing of the statement is done, and it may be given again at once. */
export const isConflict = (error: unknown): boolean => codeOf(error) === "40001" || codeOf(error) === "40P01";

/** Another transaction had locked what the statement needs, for longer than it waits: nothing of it is done. */
export const isLocked = (error: unknown): boolean => codeOf(error) === "55P03";

/** Nobody knows whether a statement that failed so was done, or will yet be: only a server that refused it has told. */
export function isUnanswered(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return isDisconnection(cause) || !/^[0-9A-Z]{5}$/.test(codeOf(cause));
}

/** The server, or the session, only reads. */
export const isReadOnly = (error: unknown): boolean => codeOf(error) === "25006";

/** The statement itself fails for every sender: of a batch, one thread's part may be the reason. */
export const isOfTheStatement = (error: unknown): boolean => /^(?:22|23|54)/.test(codeOf(error));

/** What the driver says then has no code of the server. */
const NO_PASSWORD = /client password must be a string/;
const NO_ADDRESS = "ERR_INVALID_URL";
const isOfAFile = (error: unknown): boolean => error instanceof Error && "syscall" in error && error.syscall === "open";

const ADVICE: Readonly<Record<string, string>> = {
  "53100": "its disk is full; make room",
  "53300": "it takes no more connections; raise max_connections or use fewer",
  "25006": "it is read-only, such as a replica; give the address of the primary",
  "28P01": "it refuses the password",
  "28000": "it refuses the user",
  "3D000": "the database does not exist; create it",
  "42501": "the user may not do that; grant it the rights on the schema",
  "55P03": "another transaction holds what it needs; end that one",
  "57014": "it gave the statement up, by a statement_timeout or a command of its administrator",
  "42P01": "the tables are gone; open the store anew",
};

/** The message names neither the address nor the password. */
export function storeFailure(error: unknown): Error {
  if (error instanceof SkeinError) return error;
  const code = codeOf(error);
  const advice = Object.hasOwn(ADVICE, code) ? ADVICE[code] : undefined;
  const text = error instanceof Error ? error.message : String(error);
  if (advice !== undefined) return new StoreIoError(`PostgreSQL: ${advice} (${code})`, { cause: error });
  if (NO_PASSWORD.test(text)) {
    return new StoreIoError("PostgreSQL: it asks for a password, and the address has none", { cause: error });
  }
  if (code === NO_ADDRESS) {
    return new StoreIoError("PostgreSQL: its address cannot be read; encode what is special in the password", {
      cause: error,
    });
  }
  if (isOfAFile(error)) {
    return new StoreIoError(`PostgreSQL: a certificate or key that its address names cannot be read (${code})`, {
      cause: error,
    });
  }
  if (isDisconnection(error)) {
    const what = `PostgreSQL cannot be reached${code === "" ? "" : ` (${code})`}`;
    const advice = "see that it runs, and that host and port of its address are right; what waits is kept";
    return new StoreIoError(`${what}: ${advice}`, { cause: error });
  }
  return new StoreIoError(`PostgreSQL: ${text}`, { cause: error });
}
