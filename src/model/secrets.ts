const SECRET_NAME = /auth|key|token|secret|cookie|password/i;
/** Shorter texts are no secrets worth hiding, and would blot out half of a message. */
const SHORTEST = 6;

/** The values of those fields whose names say that they are secret. */
export const secretValues = (fields: Readonly<Record<string, string>>): string[] =>
  Object.entries(fields).flatMap(([name, value]) => (SECRET_NAME.test(name) ? [value] : []));

/** The text without any of the secrets, for errors and logs. */
export function redact(text: string, secrets: readonly (string | undefined)[]): string {
  let safe = text;
  for (const secret of secrets) {
    if (secret !== undefined && secret.length >= SHORTEST) safe = safe.replaceAll(secret, "[redacted]");
  }
  return safe;
}
