/** What the store needs of a logger; pino's fits. It is never handed the contents of a line. */
export interface StoreLog {
  warn(details: object, message: string): void;
  info(details: object, message: string): void;
}

export const silentStoreLog: StoreLog = { warn: () => undefined, info: () => undefined };
