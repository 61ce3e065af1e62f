/** What the services need of a logger; pino's fits. They never hand it a secret or the contents of a file. */
export interface ServiceLog {
  warn(details: object, message: string): void;
}

export const silentLog: ServiceLog = { warn: () => undefined };
