import type { SessionOptions } from "../session-options.ts";

export type ExecOptions = SessionOptions & {
  readonly json?: boolean;
  readonly experimentalJson?: boolean;
  readonly outputSchema?: string;
  readonly outputLastMessage?: string;
  readonly image?: readonly string[];
};

export type ReviewOptions = ExecOptions & {
  readonly uncommitted?: boolean;
  readonly base?: string;
  readonly commit?: string;
  readonly title?: string;
};
