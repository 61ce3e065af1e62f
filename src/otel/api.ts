/** OpenTelemetry's API, which only those have installed who use it. */
import { createRequire } from "node:module";
import type * as OpenTelemetry from "@opentelemetry/api";
import { InvalidRequestError } from "../protocol/errors.ts";

export type Api = typeof OpenTelemetry;

/** Taken from where the program has it: its state is global, so every copy of it is as good. @throws InvalidRequestError */
export function loadApi(): Api {
  try {
    return createRequire(import.meta.url)("@opentelemetry/api") as Api;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw cause;
    const why =
      "skein/otel needs the package `@opentelemetry/api`, which is not installed: npm install @opentelemetry/api";
    throw new InvalidRequestError(why, { cause });
  }
}
