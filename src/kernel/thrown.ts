/** The text of whatever was thrown: anything can be, also what cannot be made a text. */
export function textOfThrown(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  try {
    return String(thrown);
  } catch {
    return "a value that has no text was thrown";
  }
}
