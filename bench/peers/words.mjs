/** What every peer's threads hold: about what a message of a real conversation weighs. */
export const TEXT = "The quick brown fox jumps over the lazy dog, and then it sits down to think. ".repeat(4);

export const roleAt = (at) => (at % 2 === 0 ? "user" : "assistant");

export const messagesOf = (count) => Array.from({ length: count }, (_, at) => ({ role: roleAt(at), content: TEXT }));

/** A peer that has lost messages would be measured for less work. */
export function check(found, wanted) {
  if (found !== wanted) throw new Error(`there are ${found} messages, not ${wanted}`);
}
