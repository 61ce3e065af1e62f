/**
 * What counts as a secret, by its name and by its shape, for everything that is shown, logged or inherited.
 *
 * Names follow Codex's default excludes (*KEY*, *SECRET*, *TOKEN*) and the variables of common programs. Shapes are the
 * prefixes that vendors give their tokens so that scanners find them, URLs with a password, private keys, and HTTP's own
 * ways of carrying credentials.
 */

/** What stands where a secret was. */
export const REDACTED = "[redacted]";

const NAMES = [
  "key|secret|token|passw|passphrase|passcode|credential|cookie|webhook|bearer|private",
  // Whole words of a name: PGPASS and OLDPWD are none, MYSQL_PWD and DB_PASS are. SSH_AUTH_SOCK is the way to an agent, no secret.
  "(?:^|[_.:-])(?:pass|pw|pwd(?<=[_.:-]pwd)|creds?|auth(?![_-]sock)|authorization|pat|jwt|salt|dsn|signature|sig)(?:$|[_.:-])",
  "(?:database|db|redis|mongo(?:db)?|postgres(?:ql)?|pg|mysql|amqp|rabbitmq|broker|clickhouse)[_-]?ur[il]s?$",
  "connection[_-]?string|conn[_-]?str",
];
const SECRET_NAME = new RegExp(NAMES.join("|"), "i");

/** Whether a variable, header, field or parameter of this name holds a secret. */
export const isSecretName = (name: string): boolean => SECRET_NAME.test(name);

const SHAPES = [
  // Of vendors.
  String.raw`\b(?:sk|rk)[-_][A-Za-z0-9_-]{8,}`,
  String.raw`\bgh[a-z]_[A-Za-z0-9]{12,}`,
  String.raw`\bgithub_pat_\w{12,}`,
  String.raw`\bgl[a-z]{1,6}-[\w-]{12,}`,
  String.raw`\bx(?:ox[a-z]|app)-[\w-]{8,}`,
  String.raw`\b(?:AKIA|ASIA)[0-9A-Z]{12,}`,
  String.raw`\bAIza[\w-]{20,}`,
  String.raw`\bya29\.[\w-]{8,}`,
  String.raw`\b(?:npm|hf|dop_v1|shp[a-z]{2}|pypi-AgE)_?[A-Za-z0-9]{20,}`,
  String.raw`\bSG\.[\w-]{16,}\.[\w-]{16,}`,
  String.raw`\bhooks\.slack\.com/\S+`,
  // JSON web tokens, private keys.
  String.raw`\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?`,
  String.raw`-----BEGIN [A-Z ]*PRIVATE KEY[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`,
];
const TOKEN = new RegExp(SHAPES.join("|"), "g");

/** A URL's user and password, or a user long enough to be a token. */
const USERINFO = /(\b[a-z][a-z0-9+.-]{0,20}:\/\/)(?:[^\s/?#@:"']{0,256}:[^\s/?#@"']+|[^\s/?#@:"']{16,})@/gi;
/** `Authorization: Bearer ...` and its like. */
const CREDENTIALS = /\b(bearer|basic|token)(\s+)([\w+/.~-]{8,}=*)/gi;
/** `password=...` of a connection string, `token=...` of a query, `--api-key=...` of a command. */
const ASSIGNED =
  /\b((?:[\w-]{0,40}[_-])?(?:api|access|account|private|session)?(?:key|secret|token|passw(?:or)?d|pwd|sig(?:nature)?)=)("[^"]*"|'[^']*'|[^\s&;,"')]+)/gi;

/** The text without anything that looks like a secret. */
export function withoutSecretShapes(text: string): string {
  return text
    .replace(USERINFO, `$1${REDACTED}@`)
    .replace(TOKEN, REDACTED)
    .replace(CREDENTIALS, (all: string, scheme: string, gap: string, word: string) =>
      isCredential(scheme, word) ? `${scheme}${gap}${REDACTED}` : all,
    )
    .replace(ASSIGNED, `$1${REDACTED}`);
}

/** A word without a digit or a sign is prose, such as "Bearer authentication", unless it reads as `user:password`. */
function isCredential(scheme: string, word: string): boolean {
  if (/[\d=]/.test(word)) return true;
  if (scheme.toLowerCase() !== "basic") return false;
  try {
    return atob(word).includes(":");
  } catch {
    return false;
  }
}

/** Whether a value has a secret in it, whatever its name. */
export const hasSecretShape = (text: string): boolean => withoutSecretShapes(text) !== text;

/** Shorter texts are no secrets worth hiding, and would blot out half of a message. */
const SHORTEST = 6;

/** The values of those fields whose names say that they are secret, and what follows a scheme in them. */
export const secretValues = (fields: Readonly<Record<string, string>>): string[] =>
  Object.entries(fields).flatMap(([name, value]) => (isSecretName(name) ? [value, ...value.split(" ").slice(1)] : []));

/** Fields of a request that say what is spoken and by whom. */
const PLAIN_NAME = /^(?:accept.*|content-.*|user-agent|originator|.*version|.*beta)$/i;
/** A shorter one that is no secret by its name may be a word of any message. */
const SHORTEST_UNNAMED = 8;

/** The values of fields that a user fills with secrets, whatever they are called: all but what is plainly none. */
export const privateValues = (fields: Readonly<Record<string, string>>): string[] => [
  ...secretValues(fields),
  ...Object.entries(fields).flatMap(([name, value]) =>
    PLAIN_NAME.test(name) || value.length < SHORTEST_UNNAMED ? [] : [value],
  ),
];

/**
 * The text without the given secrets, plain or as they travel (in base64, in a URL, in JSON), and without anything else that
 * looks like one.
 */
export function redact(text: string, secrets: readonly (string | undefined)[]): string {
  let safe = text;
  // The longest first: one secret may be a part of another.
  const known = secrets.filter((secret) => secret !== undefined && secret.length >= SHORTEST);
  for (const secret of [...new Set(known.flatMap(formsOf))].sort((a, b) => b.length - a.length)) {
    safe = safe.replaceAll(secret, REDACTED);
  }
  return withoutSecretShapes(safe);
}

function formsOf(secret = ""): string[] {
  const base64 = btoa(String.fromCharCode(...new TextEncoder().encode(secret))).replace(/=+$/, "");
  return [secret, base64, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
}

/** Settings and their like as they may be shown: of the same form, and secrets' texts replaced. */
export function withoutSecrets(value: unknown): unknown {
  return shownOf(value, { isSecret: false, depth: 0 });
}

/** Tables whose every value may be a secret, whatever it is called. */
const SECRET_TABLES = new Set(["http_headers", "query_params", "env", "set", "headers"]);
/** Settings that are a secret themselves, and not the name of one, its kind or its place. */
const SECRET_SETTING =
  /(?:(?:^|[_-]|api)key|token|secret|passw(?:or)?d|passphrase|credentials?|cookie|authorization|webhook)$/i;
const FLAG = /^--?[\w-]+$/;

const DEEPEST = 32;

function shownOf(value: unknown, { isSecret, depth }: { isSecret: boolean; depth: number }): unknown {
  if (typeof value === "string") return isSecret && value !== "" ? REDACTED : withoutSecretShapes(value);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  if (depth === DEEPEST) return REDACTED;
  const inside = (each: unknown, isOne: boolean) => shownOf(each, { isSecret: isSecret || isOne, depth: depth + 1 });
  if (Array.isArray(value)) return value.map((each, index) => inside(each, followsFlag(value, index)));
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name,
      name === "env_http_headers" ? variablesIn(each) : inside(each, holdsSecrets(name, each)),
    ]),
  );
}

/** Headers by the names of their variables; what is no such name was meant to be a secret. */
function variablesIn(table: unknown): unknown {
  if (typeof table !== "object" || table === null) return table;
  return Object.fromEntries(
    Object.entries(table).map(([header, name]) => [header, /^[A-Za-z_]\w*$/.test(String(name)) ? name : REDACTED]),
  );
}

/** `["--api-key", "..."]` */
function followsFlag(values: readonly unknown[], index: number): boolean {
  const before = values[index - 1];
  return typeof before === "string" && FLAG.test(before) && isSecretName(before);
}

function holdsSecrets(name: string, value: unknown): boolean {
  if (typeof value === "object") return SECRET_TABLES.has(name);
  return SECRET_SETTING.test(name) && name !== "env_key";
}
