import { styleText } from "node:util";

export type Format = Parameters<typeof styleText>[0];

/** Colours a text as far as the stream shows colours; NO_COLOR and FORCE_COLOR are honoured. */
export type Paint = (format: Format, text: string) => string;

export const paintFor =
  (stream: NodeJS.WriteStream): Paint =>
  (format, text) =>
    styleText(format, text, { stream });

export const plainPaint: Paint = (_, text) => text;
