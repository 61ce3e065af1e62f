/** How dark a request to the model is drawn: by the tokens that it has used, beside the one that has used most. Pure. */
import type { Span } from "../../app-server/studio/wire.ts";

/** One that used next to nothing, or has not told yet, is still seen. */
const FAINTEST = 0.25;

/** Input that was read anew, and output: what is cached costs little time. 0 where none is known. */
export const tokensIn = ([, , , , , , tokens]: Span): number => (tokens === null ? 0 : tokens[0] + tokens[2]);

export const mostTokens = (spans: readonly Span[]): number =>
  spans.reduce((most, span) => Math.max(most, tokensIn(span)), 0);

/** An opacity. */
export const shadeOf = (span: Span, most: number): number =>
  most === 0 ? 1 : FAINTEST + (1 - FAINTEST) * (tokensIn(span) / most);
