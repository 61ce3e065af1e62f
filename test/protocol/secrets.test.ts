import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  hasSecretShape,
  isSecretName,
  REDACTED,
  redact,
  withoutSecretShapes,
  withoutSecrets,
} from "../../src/protocol/secrets.ts";

const SECRET_NAMES = `OPENAI_API_KEY MY_TOKEN DATABASE_URL PASSPHRASE GPG_PASSPHRASE MYSQL_PWD PGPASSWORD NPM_CONFIG__AUTH
  npm_config__auth DB_PASS AWS_SECRET_ACCESS_KEY GOOGLE_APPLICATION_CREDENTIALS SESSION_COOKIE REDIS_URL MONGODB_URI SENTRY_DSN
  AZURE_STORAGE_CONNECTION_STRING SLACK_WEBHOOK_URL GITHUB_PAT HTTP_AUTH authorization x-api-key Cookie proxy-authorization
  set-cookie SMTP_PASS REDISCLI_AUTH RESTIC_PASSWORD`;
const PLAIN_NAMES = `PATH PWD OLDPWD HOME SSH_AUTH_SOCK XAUTHORITY GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL LANG LC_ALL
  DBUS_SESSION_BUS_ADDRESS XDG_SESSION_ID COMPASS PATTERN COMPATIBILITY TERM EDITOR TMPDIR HTTP_PROXY NODE_OPTIONS DISPLAY`;
const words = (text: string): string[] => text.split(/\s+/);

test("secrets are told by the names of variables, headers and fields", () => {
  assert.deepEqual(
    words(SECRET_NAMES).filter((name) => !isSecretName(name)),
    [],
  );
  assert.deepEqual(words(PLAIN_NAMES).filter(isSecretName), []);
});

const SECRET_VALUES = [
  "postgres://u:p@h/db",
  "redis://:secret@h:6379",
  "https://0123456789abcdef0123@sentry.example/1",
  "sk-proj-abcdef12345",
  "ghp_abcdefghijklmnop1234",
  "github_pat_11ABCDEFG_abcdef",
  "xoxb-123456789-abc",
  "AKIAIOSFODNN7EXAMPLE",
  "AIzaSyA1234567890abcdefghijk",
  "glpat-abcdefghijklmnop",
  "npm_abcdefghijklmnopqrstuvwxyz0123456789",
  "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
  "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
  "-----BEGIN PRIVATE KEY-----\nMIIE",
  "Bearer abc12345678",
  "Basic dXNlcjpwYXNz",
  "Server=x;Password=y1;",
  "host=h password=zz dbname=d",
  "https://h/x?api_key=abc",
];
const PLAIN_VALUES = [
  "/usr/bin:/bin",
  "http://proxy:8080",
  "ssh://git@github.com/x",
  "unix:path=/run/user/0/bus",
  "task-management-system-abc",
  "Bearer authentication is required",
  "Basic authentication failed please",
  "monkey=banana",
  "http://127.0.0.1:8080/x?mail=a@b",
  "LS_COLORS=rs=0:di=01;34",
];

test("and by the shapes of values", () => {
  assert.deepEqual(
    SECRET_VALUES.filter((value) => !hasSecretShape(value)),
    [],
  );
  assert.deepEqual(PLAIN_VALUES.filter(hasSecretShape), []);
});

test("a secret is taken out of a text in every form in which it travels", () => {
  const text = fc.string({ minLength: 6, unit: fc.constantFrom(...'abcXYZ019 "\\/+?&%é') });
  fc.assert(
    fc.property(text, fc.lorem(), (secret, around) => {
      const base64 = Buffer.from(secret).toString("base64").replace(/=+$/, "");
      for (const form of [secret, base64, encodeURIComponent(secret), JSON.stringify(secret)]) {
        const safe = redact(`${around} <${form}> ${around}`, [secret]);
        assert.ok(!safe.includes(form.replaceAll('"', '"')) || around.includes(form), safe);
        assert.ok(safe.includes(REDACTED));
      }
    }),
  );
});

test("nothing that comes in makes the search slow, or changes what is found by repeating it", () => {
  for (const piece of ["sk-", "a.", "http://a:", "bearer ", "key", "-----BEGIN PRIVATE KEY", "eyJa.", "a:", "token="]) {
    withoutSecretShapes(piece.repeat(20_000));
  }
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."a:/@=?&. -_keysToken1") }), (text) => {
      const once = withoutSecretShapes(text);
      assert.equal(withoutSecretShapes(once).replaceAll(REDACTED, ""), once.replaceAll(REDACTED, ""));
    }),
  );
});

test("settings keep their form, without their secrets", () => {
  const settings = {
    model: "m",
    model_auto_compact_token_limit: 5,
    model_auto_compact_token_limit_scope: "body",
    model_providers: {
      p: {
        base_url: "https://u:pa55@h/v1",
        env_key: "MY_KEY",
        experimental_bearer_token: "plain",
        http_headers: { "x-anything": "1" },
        env_http_headers: { "x-key": "MY_VARIABLE" },
        query_params: { v: "1" },
        request_max_retries: 1,
      },
    },
    mcp_servers: {
      s: { command: "c", args: ["--api-key", "abc", "--fast"], env: { A: "1" }, bearer_token_env_var: "B" },
    },
    keymap: "vim",
  };
  assert.deepEqual(withoutSecrets(settings), {
    ...settings,
    model_providers: {
      p: {
        ...settings.model_providers.p,
        base_url: `https://${REDACTED}@h/v1`,
        experimental_bearer_token: REDACTED,
        http_headers: { "x-anything": REDACTED },
        query_params: { v: REDACTED },
      },
    },
    mcp_servers: { s: { ...settings.mcp_servers.s, args: ["--api-key", REDACTED, "--fast"], env: { A: REDACTED } } },
  });
});
