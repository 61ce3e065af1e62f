import * as z from "zod";
import type { Clock } from "../../kernel/clock.ts";
import type { SkeinLogger } from "../../kernel/log.ts";
import { parseWith } from "../../protocol/validation.ts";

/** One statement with its values; `name` has it prepared once for each connection. */
export type PostgresQuery = { readonly text: string; readonly values?: unknown[]; readonly name?: string };

/** The part of a `pg` client that the store uses. */
export interface PostgresClient {
  query(query: PostgresQuery): Promise<{ readonly rows: unknown[] }>;
  /** Gives it back to its pool; with an error or `true`, to be closed. */
  release(broken?: Error | boolean): void;
  on(event: "notification", listener: (message: { channel: string; payload?: string | undefined }) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
}

/** The part of a `pg` Pool that the store uses: any pool of this shape will do. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>;
  end(): Promise<void>;
  on?: {
    (event: "error", listener: (error: Error) => void): unknown;
    (event: "connect", listener: (client: PostgresClient) => void): unknown;
  };
  readonly options?: { readonly max?: number | undefined };
}

/** Where a PostgreSQL store keeps its threads: `connectionString` or `pool` has to be said. */
export type PostgresStoreOptions = {
  /** `postgres://user:password@host:port/database`; the store makes a pool of its own and ends it when it is closed. */
  readonly connectionString?: string;
  /** A pool of yours, of at least two connections that keep their session (no pooler by transaction). It stays open. */
  readonly pool?: PostgresPool;
  /** The schema of the tables, made where it is missing. Default `"skein"`. */
  readonly schema?: string;
  /** Connections of the store's own pool, one of which listens. Default 10. */
  readonly maxConnections?: number;
  /** How long one statement may take, in milliseconds. Default 30,000. */
  readonly statementMs?: number;
  readonly clock?: Clock;
  readonly logger?: SkeinLogger;
};

const isPool = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "connect" in value && typeof value.connect === "function";

const optionsSchema = z
  .strictObject({
    // The driver reads anything else as the name of some other place, and asks there.
    connectionString: z
      .string()
      .regex(/^postgres(?:ql)?:\/\//i, "must be an address such as postgres://user:password@host:port/database")
      .optional(),
    pool: z.custom<PostgresPool>(isPool, "must be a pool of the package pg, or one of its shape").optional(),
    schema: z
      .string()
      .regex(/^[a-z_][a-z0-9_]{0,62}$/, "must be a plain lower-case name of at most 63 letters, digits and underscores")
      .default("skein"),
    maxConnections: z.int().min(2).max(1_000).default(10),
    statementMs: z.int().min(1).default(30_000),
    clock: z.custom<Clock>().optional(),
    logger: z.custom<SkeinLogger>().optional(),
  })
  .refine(
    ({ connectionString, pool }) => (connectionString === undefined) !== (pool === undefined),
    "give either a connectionString or a pool",
  )
  .refine(({ pool }) => (pool?.options?.max ?? 2) >= 2, "the pool needs at least two connections: one of them listens");

export type CheckedOptions = z.infer<typeof optionsSchema>;

/** @throws InvalidRequestError */
export const checkOptions = (options: PostgresStoreOptions): CheckedOptions =>
  parseWith(optionsSchema, options, "postgresStore") as CheckedOptions;
