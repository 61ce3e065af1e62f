import type { Logger } from "pino";

/**
 * The part of pino's logger that Skein uses; any logger of this shape will do. It is never handed content or a secret. One that tells
 * which levels it writes is not given a line for each message of the app-server that it would pass over.
 */
export type SkeinLogger = Pick<Logger, "debug" | "info" | "warn" | "error"> & Partial<Pick<Logger, "isLevelEnabled">>;

const nothing = (): void => undefined;

/** What a library logs to until it is given a log. */
export const silentLog: SkeinLogger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** What a part needs that only ever warns. */
export interface WarningLog {
  warn(details: object, message: string): void;
}
