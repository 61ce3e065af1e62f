/** Restate's SDK, which only those have installed who run workers. */
import { createRequire } from "node:module";
import type * as Sdk from "@restatedev/restate-sdk";
import type { Serde } from "@restatedev/restate-sdk";
import type * as FetchSdk from "@restatedev/restate-sdk/fetch";
import { InvalidRequestError } from "../protocol/errors.ts";

export type RestateSdk = typeof Sdk;

const load = (name: string): unknown => {
  try {
    return createRequire(import.meta.url)(name);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw cause;
    const why =
      "skein/cluster needs the package `@restatedev/restate-sdk`, which is not installed: npm install @restatedev/restate-sdk";
    throw new InvalidRequestError(why, { cause });
  }
};

/** @throws InvalidRequestError */
export const loadSdk = (): RestateSdk => load("@restatedev/restate-sdk") as RestateSdk;

/** @throws InvalidRequestError */
export const loadFetchSdk = (): typeof FetchSdk => load("@restatedev/restate-sdk/fetch") as typeof FetchSdk;

/** How handlers write to one another: as clients write to them. */
export const jsonSerde = <T>(): Serde<T> => ({
  contentType: "application/json",
  serialize: (value) => Buffer.from(JSON.stringify(value)),
  // A handler that answers nothing says nothing.
  deserialize: (bytes) => (bytes.length === 0 ? undefined : JSON.parse(Buffer.from(bytes).toString("utf8"))) as T,
});
