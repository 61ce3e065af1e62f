import { type OptionKinds, ofType, oneOf } from "../protocol/call-options.ts";

/** What each option of a logic that keeps its state has to be. */
export const PERSIST_KINDS: OptionKinds = {
  persist: oneOf("snapshot"),
  version: (value) =>
    Number.isSafeInteger(value) && Number(value) >= 0 ? undefined : "must be a whole number from 0 on",
  migrate: ofType("function"),
  unreadable: oneOf("fail", "anew"),
  maxBytes: (value) => (typeof value === "number" && value > 0 ? undefined : "must be a number of bytes"),
};
