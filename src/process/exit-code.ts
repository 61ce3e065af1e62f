/** Exit codes in the way of shells: 128 and the signal's number for a program that a signal has ended. */
import { constants } from "node:os";

export const endedBy = (signal: number): number => 128 + signal;

/** 0 where there was none. */
export const numberOfSignal = (signal: NodeJS.Signals | null): number =>
  signal === null ? 0 : constants.signals[signal];
