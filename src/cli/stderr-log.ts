import type { Logger } from "pino";
import type { SkeinLogger } from "../kernel/log.ts";
import { withoutSecrets } from "../protocol/secrets.ts";

export const LOG_LEVELS = ["silent", "error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * pino's JSON lines on standard error, from a level on. pino is loaded with the first line that is written: most runs
 * write none, and start sooner for it.
 */
export function stderrLog(level: LogLevel, stderr: NodeJS.WriteStream): SkeinLogger {
  const written: readonly string[] = LOG_LEVELS.slice(0, LOG_LEVELS.indexOf(level) + 1);
  let logger: Promise<Logger> | undefined;
  const loaded = (): Promise<Logger> => {
    logger ??= import("pino").then(({ default: pino }) => {
      // An error may come from a library that quotes what it was given.
      const err = (error: Error) => withoutSecrets(pino.stdSerializers.err(error));
      return pino({ level, base: null, serializers: { err, error: err } }, stderr);
    });
    return logger;
  };
  const isLevelEnabled = (name: string): boolean => written.includes(name);
  const writerAt =
    (name: Exclude<LogLevel, "silent">) =>
    (...line: unknown[]): void => {
      if (isLevelEnabled(name)) void loaded().then((to) => Reflect.apply(to[name], to, line));
    };
  return {
    ...{ error: writerAt("error"), warn: writerAt("warn"), info: writerAt("info"), debug: writerAt("debug") },
    isLevelEnabled,
  };
}
