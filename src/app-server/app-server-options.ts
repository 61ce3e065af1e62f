import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import type { OpenedHome } from "../manager/home.ts";
import type { ConfigOverride } from "../services/config-overrides.ts";
import type { ConnectionLimits } from "./connection-limits.ts";
import type { GoalTools } from "./memos/goal-tools.ts";
import type { AdmissionLimits } from "./transports/admission.ts";

/** What an app-server is made with; all of it has a default. */
export type AppServerOptions = {
  /**
   * The folder whose config.toml counts, and that clients are given; or what `openHome` gave for the manager, so that
   * providers that config.toml names later can be used. Without it, no config.toml is read or written.
   */
  readonly home?: string | OpenedHome | undefined;
  /** The `-c key=value` flags of the process; an opened home has its own. */
  readonly overrides?: readonly ConfigOverride[] | undefined;
  /** The tools for goals that the manager's threads have; without it no thread can be given a goal. */
  readonly goalTools?: GoalTools | undefined;
  /** The server's directory; default: the process's. */
  readonly cwd?: string | undefined;
  readonly logger?: SkeinLogger | undefined;
  readonly clock?: Clock | undefined;
  readonly limits?: Partial<ConnectionLimits & AdmissionLimits> | undefined;
};
