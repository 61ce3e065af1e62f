/** Marks are drawn: fonts lack some, and a state has a shape as well as a colour. */
import type { RowStatus } from "../../../app-server/studio/wire.ts";

const SHAPES: Readonly<Record<RowStatus, string>> = {
  active: "M3 2 13 8 3 14z",
  waiting: "M3 2h4v12H3zM9 2h4v12H9z",
  failed: "M8 1.5 15 14.5H1z",
  idle: "M8 3.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6zm0 1.8a3 3 0 1 1 0 6 3 3 0 0 1 0-6z",
  notLoaded: "M8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6z",
};

export const STATUS_WORDS: Readonly<Record<RowStatus, string>> = {
  active: "active",
  waiting: "waits for you",
  failed: "failed",
  idle: "idle",
  notLoaded: "not loaded",
};

export const StatusMark = ({ status }: { readonly status: RowStatus }) => (
  <svg class={`mark ${status}`} viewBox="0 0 16 16" role="img" aria-label={STATUS_WORDS[status]}>
    <path d={SHAPES[status]} />
  </svg>
);

export const ForkMark = () => (
  <svg class="mark fork" viewBox="0 0 16 16" role="img" aria-label="fork">
    <path d="M4 1v6c0 3 2 4 5 4h2.5V8.5L15 12l-3.5 3.5V13H9c-4.500 0-7-2-7-6V1z" />
  </svg>
);

export const FoldMark = ({ isFolded }: { readonly isFolded: boolean }) => (
  <svg class="mark fold" viewBox="0 0 16 16" aria-hidden="true">
    <path d={isFolded ? "M5 3l6 5-6 5z" : "M3 5h10l-5 6z"} />
  </svg>
);
