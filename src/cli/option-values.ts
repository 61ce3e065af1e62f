import { InvalidArgumentError } from "commander";

/** Reads an option's number. */
export const wholeNumber =
  ({ min, max }: { min: number; max: number }) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };

/** Gathers an option that may be given more than once. */
export const repeated = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];
