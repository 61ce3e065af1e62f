import { SkeinError } from "./errors.ts";
import type { TokenUsage } from "./token-usage.ts";

/**
 * Codex's `codex_error_info`: a name, or one name with the HTTP status of the failure. Three are our own: `lease_lost`,
 * another writer has taken the thread over; `store_failed`, what the thread says cannot be stored; and `turn_given_up`, the turn
 * has ended its process too often.
 */
export type CodexErrorInfo =
  | "context_window_exceeded"
  | "usage_limit_exceeded"
  | "internal_server_error"
  | "rate_limit_exceeded"
  | "server_overloaded"
  | "model_not_found"
  | "cyber_policy"
  | "bio_policy"
  | "misalignment_policy_violation"
  | "inference_hook_denied"
  | "flex_unavailable"
  | "policy_capacity_unavailable"
  | "unauthorized"
  | "bad_request"
  | "sandbox_error"
  | "thread_rollback_failed"
  | "lease_lost"
  | "store_failed"
  | "turn_given_up"
  | "other"
  | { http_connection_failed: { http_status_code?: number | null } }
  | { response_stream_connection_failed: { http_status_code?: number | null } }
  | { response_stream_disconnected: { http_status_code?: number | null } }
  | { response_too_many_failed_attempts: { http_status_code?: number | null } };

/** What a ModelError says beside its message. */
export type ModelErrorOptions = {
  /** What `error` events carry; `"other"` when absent. */
  info?: CodexErrorInfo;
  /** Whether the turn may ask again (SPEC 4.5). Default false: the turn ends. */
  retryable?: boolean;
  /** How long the server asked to wait before the next try. */
  retryAfterMs?: number;
  httpStatus?: number;
  /** What the failed answer has cost all the same, where the server says it. */
  usage?: TokenUsage;
  cause?: unknown;
};

/** The model's answer failed. A ModelClient throws it; the turn retries or ends by it. */
export class ModelError extends SkeinError {
  static readonly code = "model_error";
  readonly code = ModelError.code;
  readonly info: CodexErrorInfo;
  readonly retryAfterMs: number | undefined;
  readonly httpStatus: number | undefined;
  readonly usage: TokenUsage | undefined;
  readonly #retryable: boolean;

  constructor(message: string, options: ModelErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.info = options.info ?? "other";
    this.retryAfterMs = options.retryAfterMs;
    this.httpStatus = options.httpStatus;
    this.usage = options.usage;
    this.#retryable = options.retryable ?? false;
  }

  override get retryable(): boolean {
    return this.#retryable;
  }

  protected override details() {
    return { codexErrorInfo: this.info };
  }
}
