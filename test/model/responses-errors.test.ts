import assert from "node:assert/strict";
import { test } from "node:test";
import { type ResponsesClientOptions, responsesClient } from "../../src/model/responses-client.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import { type TokenUsage, zeroUsage } from "../../src/protocol/token-usage.ts";
import { EagerClock } from "./eager-clock.ts";
import { answering, completed, created, ModelServer, message, type Reply, sse, streaming } from "./model-server.ts";
import { answer, textDeltas } from "./requests.ts";

const HIGH_DEMAND = "We’re currently experiencing high demand, which may cause temporary errors.";
const QUOTA = "Quota exceeded. Check your plan and billing details.";
const CONTEXT =
  "Codex ran out of room in the model's context window. Start a new thread or clear earlier history before retrying.";
const BROKEN = "stream disconnected before completion: ";
const CLOSED = `${BROKEN}stream closed before response.completed`;

const failed = (code: string, text: string) =>
  streaming(sse(created, { type: "response.failed", response: { error: { code, message: text } } }));

type Expected = {
  message: string;
  info?: unknown;
  retryable?: boolean;
  retryAfterMs?: number;
  httpStatus?: number;
  usage?: TokenUsage;
};

/** Stands for the address in what is expected. */
const URL_OF_ALL = "<base>/responses";
const connectionFailed = (http_status_code: number) => ({ http_connection_failed: { http_status_code } });

const rows: Record<string, [reply: Reply, expected: Expected]> = {
  "HTTP 500": [
    answering(500, { error: { message: "boom" } }),
    { message: HIGH_DEMAND, info: "internal_server_error", retryable: true },
  ],
  "HTTP 400": [
    answering(400, '{"error":{"message":"bad thing","type":"invalid_request_error"}}'),
    { message: '{"error":{"message":"bad thing","type":"invalid_request_error"}}', httpStatus: 400 },
  ],
  "HTTP 400 for a long context": [
    answering(400, { error: { code: "context_length_exceeded", message: "too long" } }),
    { message: CONTEXT, info: "context_window_exceeded" },
  ],
  "HTTP 401": [
    answering(401, { error: { message: "no auth" } }),
    {
      message: `unexpected status 401 Unauthorized: no auth, url: ${URL_OF_ALL}`,
      info: connectionFailed(401),
      retryable: true,
      httpStatus: 401,
    },
  ],
  "HTTP 401 with a long text, and the request's name": [
    answering(401, `  ${"y".repeat(1001)}\n`, { "x-oai-request-id": "req-7" }),
    {
      message: `unexpected status 401 Unauthorized: ${"y".repeat(1000)}..., url: ${URL_OF_ALL}, request id: req-7`,
      info: connectionFailed(401),
      retryable: true,
      httpStatus: 401,
    },
  ],
  "HTTP 400 for a prompt that is not taken": [
    answering(400, { error: { code: "invalid_prompt", message: "not this" } }),
    { message: "not this" },
  ],
  "HTTP 400 by policy": [
    answering(400, { error: { type: "cyber_policy", message: "flagged" } }),
    { message: "flagged", info: "cyber_policy" },
  ],
  "HTTP 400 for a model": [
    answering(400, { error: { code: "model_not_found", message: "no such model" } }),
    { message: "no such model", info: "model_not_found", httpStatus: 400 },
  ],
  "HTTP 403 by a hook": [
    answering(403, { error: { code: "inference_hook_denied", message: "denied" } }),
    { message: "denied", info: "inference_hook_denied" },
  ],
  "HTTP 503 with a code of the model's": [
    answering(503, { error: { code: "model_not_found", message: "later" } }),
    {
      message: `unexpected status 503 Service Unavailable: later, url: ${URL_OF_ALL}`,
      info: connectionFailed(503),
      retryable: true,
      httpStatus: 503,
    },
  ],
  "HTTP 403": [
    answering(403, "forbidden here"),
    {
      message: `unexpected status 403 Forbidden: forbidden here, url: ${URL_OF_ALL}`,
      info: connectionFailed(403),
      retryable: true,
      httpStatus: 403,
    },
  ],
  "HTTP 307": [
    answering(307, "", { location: "http://127.0.0.1:1/" }),
    {
      message: `unexpected status 307 Temporary Redirect: Unknown error, url: ${URL_OF_ALL}`,
      info: connectionFailed(307),
      retryable: true,
      httpStatus: 307,
    },
  ],
  "HTTP 503": [
    answering(503, "later", { "retry-after": "2" }),
    {
      message: `unexpected status 503 Service Unavailable: later, url: ${URL_OF_ALL}`,
      info: connectionFailed(503),
      retryable: true,
      httpStatus: 503,
      retryAfterMs: 2000,
    },
  ],
  "HTTP 599": [
    answering(599, "odd"),
    {
      message: `unexpected status 599 <unknown status code>: odd, url: ${URL_OF_ALL}`,
      info: connectionFailed(599),
      retryable: true,
      httpStatus: 599,
    },
  ],
  "HTTP 429": [
    answering(429, { error: { message: "slow down" } }),
    {
      message: "exceeded retry limit, last status: 429 Too Many Requests",
      info: { response_too_many_failed_attempts: { http_status_code: 429 } },
      httpStatus: 429,
    },
  ],
  "HTTP 429 for a used-up plan": [
    answering(429, { error: { type: "usage_limit_reached", plan_type: "pro", resets_at: localNoon() } }),
    {
      message:
        "You’ve hit your usage limit. Visit https://chatgpt.com/settings/usage to purchase more credits or try again at Jan 1st, 2100 12:00 PM.",
      info: "usage_limit_exceeded",
      httpStatus: 429,
    },
  ],
  "HTTP 429 for a used-up plan that cannot buy": [
    answering(429, { error: { type: "usage_limit_reached" } }),
    { message: "You’ve hit your usage limit. Try again later.", info: "usage_limit_exceeded", httpStatus: 429 },
  ],
  "HTTP 429 for a used-up plan until a time that no calendar has": [
    answering(429, { error: { type: "usage_limit_reached", resets_at: 1e18 } }),
    { message: "You’ve hit your usage limit. Try again later.", info: "usage_limit_exceeded", httpStatus: 429 },
  ],
  "HTTP 429 without quota": [
    answering(429, { error: { code: "insufficient_quota" } }),
    { message: QUOTA, info: "usage_limit_exceeded" },
  ],
  "failed: context_length_exceeded": [
    failed("context_length_exceeded", "too long"),
    { message: CONTEXT, info: "context_window_exceeded" },
  ],
  "failed: insufficient_quota": [failed("insufficient_quota", "pay"), { message: QUOTA, info: "usage_limit_exceeded" }],
  "failed: usage_not_included": [
    failed("usage_not_included", "no"),
    {
      message: "To use Codex with your ChatGPT plan, upgrade to Plus: https://chatgpt.com/explore/plus.",
      info: "usage_limit_exceeded",
    },
  ],
  "failed: invalid_prompt": [failed("invalid_prompt", "not this"), { message: "not this" }],
  "failed: invalid_prompt, in silence": [
    streaming(sse({ type: "response.failed", response: { error: { code: "invalid_prompt" } } })),
    { message: "Invalid request." },
  ],
  "failed: model_not_found": [
    failed("model_not_found", "no such model"),
    { message: "no such model", info: "model_not_found" },
  ],
  "failed: cyber_policy, in silence": [
    failed("cyber_policy", ""),
    { message: "This request has been flagged for possible cybersecurity risk.", info: "cyber_policy" },
  ],
  "failed: rate_limit_exceeded in ms": [
    failed("rate_limit_exceeded", "Limit reached. Please try again in 10ms. Visit us."),
    {
      message: "rate limit exceeded: Limit reached. Please try again in 10ms. Visit us.",
      info: "rate_limit_exceeded",
      retryable: true,
      retryAfterMs: 10,
    },
  ],
  "failed: rate_limit_exceeded in s": [
    failed("rate_limit_exceeded", "Please try again in 1.898s."),
    {
      message: "rate limit exceeded: Please try again in 1.898s.",
      info: "rate_limit_exceeded",
      retryable: true,
      retryAfterMs: 1898,
    },
  ],
  "failed: rate_limit_exceeded in seconds": [
    failed("rate_limit_exceeded", "Try again in 35 seconds."),
    {
      message: "rate limit exceeded: Try again in 35 seconds.",
      info: "rate_limit_exceeded",
      retryable: true,
      retryAfterMs: 35_000,
    },
  ],
  "failed: rate_limit_exceeded without a time": [
    failed("rate_limit_exceeded", "Slow down"),
    { message: "rate limit exceeded: Slow down", info: "rate_limit_exceeded", retryable: true },
  ],
  "failed: anything else": [failed("server_error", "oops"), { message: `${BROKEN}oops`, retryable: true }],
  "failed without an error": [
    streaming(sse({ type: "response.failed" })),
    { message: `${BROKEN}response.failed event received`, retryable: true },
  ],
  incomplete: [
    streaming(sse({ type: "response.incomplete", response: { incomplete_details: { reason: "max_output_tokens" } } })),
    { message: "Incomplete response returned, reason: max_output_tokens" },
  ],
  "incomplete, with its cost": [
    streaming(sse({ type: "response.incomplete", response: { usage: { input_tokens: 3, output_tokens: 4 } } })),
    {
      message: "Incomplete response returned, reason: unknown",
      usage: { ...zeroUsage, input_tokens: 3, output_tokens: 4, total_tokens: 7 },
    },
  ],
  "incomplete without a reason": [
    streaming(sse({ type: "response.incomplete", response: {} })),
    { message: "Incomplete response returned, reason: unknown" },
  ],
  "incomplete by a filter": [
    streaming(sse({ type: "response.incomplete", response: { incomplete_details: { reason: "content_filter" } } })),
    { message: `${BROKEN}Incomplete response returned, reason: content_filter`, retryable: true },
  ],
  "failed: an image": [failed("image_parse_error", "no image"), { message: "no image", info: "bad_request" }],
  "failed: server_is_overloaded": [
    failed("server_is_overloaded", "busy"),
    { message: "Selected model is at capacity. Please try a different model.", info: "server_overloaded" },
  ],
  "failed: cyber_policy": [failed("cyber_policy", "not this"), { message: "not this", info: "cyber_policy" }],
  "failed: bio_policy": [failed("bio_policy", "not this"), { message: "not this", info: "bio_policy" }],
  "failed: misalignment": [
    failed("misalignment_policy_violation", "not this"),
    { message: "not this", info: "misalignment_policy_violation" },
  ],
  "failed: a hook": [failed("inference_hook_denied", "no"), { message: "no", info: "inference_hook_denied" }],
  "failed: flex": [
    failed("flex_unavailable", "no"),
    { message: "Flex capacity unavailable.", info: "flex_unavailable" },
  ],
  "failed: restricted capacity": [
    failed("policy_capacity_unavailable", "no"),
    {
      message: "Policy-restricted capacity is unavailable. Please try again later.",
      info: "policy_capacity_unavailable",
    },
  ],
  "HTTP 404 for a model": [
    answering(404, { error: { code: "model_not_found", message: "no such model" } }),
    { message: "no such model", info: "model_not_found", httpStatus: 404 },
  ],
  "an error event": [
    streaming(sse({ type: "error", code: "insufficient_quota", message: "pay" })),
    { message: QUOTA, info: "usage_limit_exceeded" },
  ],
  "a bare error in the stream": [
    streaming(sse({ error: { message: "engine died" } })),
    { message: `${BROKEN}engine died`, retryable: true },
  ],
  "the stream ends early": [streaming(sse(created, ...message("half"))), { message: CLOSED, retryable: true }],
  "an empty stream": [streaming(""), { message: CLOSED, retryable: true }],
  "an event cut by the end": [streaming(sse(created) + sse(completed).trimEnd()), { message: CLOSED, retryable: true }],
  "200 with an error body": [
    answering(200, { error: { code: "context_length_exceeded" } }),
    { message: CONTEXT, info: "context_window_exceeded" },
  ],
  "200 with JSON": [
    answering(200, { ok: true }),
    { message: `${BROKEN}expected a stream of events, got a JSON object`, retryable: true },
  ],
  "200 with an error body that claims to be a stream": [
    streaming('{"error": "overloaded"}'),
    { message: `${BROKEN}overloaded`, retryable: true },
  ],
  "200 with HTML": [
    streaming("<html>log in</html>", { "content-type": "text/html; charset=utf-8" }),
    { message: `${BROKEN}expected a stream of events, got text/html; charset=utf-8`, retryable: true },
  ],
};

for (const [name, [reply, expected]] of Object.entries(rows)) {
  test(name, async () => {
    await using server = await ModelServer.start(reply);
    const error = await failure({ baseUrl: server.baseUrl, requestMaxRetries: 0 });
    const message = expected.message.replace("<base>", server.baseUrl);
    assert.deepEqual(factsOf(error), { info: "other", retryable: false, ...expected, message });
  });
}

test("a gigantic line is refused, and not read to its end", async () => {
  const line = Buffer.alloc(1024 * 1024, "x");
  await using server = await ModelServer.start((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: ");
    const more = () => {
      while (!response.destroyed && response.write(line));
    };
    response.on("drain", more);
    more();
  });
  assert.deepEqual(factsOf(await failure({ baseUrl: server.baseUrl })), {
    message: `${BROKEN}an event exceeds 33554432 characters`,
    info: "other",
    retryable: false,
  });
  await server.disconnected();
});

test("refused connections are tried again, then reported without query or password", async () => {
  const server = await ModelServer.start();
  const { port } = server;
  await server[Symbol.asyncDispose]();
  const clock = new EagerClock();
  const baseUrl = `http://user:hidden-word@127.0.0.1:${port}/v1`;
  const error = await failure({ baseUrl, queryParams: { "api-key": "hidden-word" }, requestMaxRetries: 3, clock });
  assert.deepEqual(factsOf(error), {
    message: `connection failed: error sending request for url (http://127.0.0.1:${port}/v1/responses): connect ECONNREFUSED 127.0.0.1:${port}`,
    info: { http_connection_failed: { http_status_code: null } },
    retryable: true,
  });
  assert.equal(clock.fired.length, 3);
});

test("requests are tried again silently, with growing pauses", async () => {
  const good = streaming(sse(created, ...message("ok"), completed));
  const dropping: Reply = (response) => void response.destroy();
  await using server = await ModelServer.start(answering(500), answering(502), dropping, answering(429), good);
  const clock = new EagerClock();
  const client = responsesClient({ baseUrl: server.baseUrl, clock });
  assert.deepEqual(textDeltas(await answer(client)), ["ok"]);
  assert.equal(server.requests.length, 5);
  assert.equal(new Set(server.requests.map((request) => request.body)).size, 1);
  // The third failure is that of a connection which had served before: it may have been closed while the request went out.
  for (const [n, base] of [200, 400, 0, 1600].entries()) {
    const delay = clock.fired[n] ?? 0;
    assert.ok(delay >= base * 0.9 && delay <= base * 1.1, `pause ${n} was ${delay} ms`);
  }
  await client.close();
});

test("the last failure is reported when the tries are used up", async () => {
  await using server = await ModelServer.start(answering(500), answering(502, "gate"));
  const error = await failure({ baseUrl: server.baseUrl, requestMaxRetries: 2, clock: new EagerClock() });
  assert.equal(error.message, `unexpected status 502 Bad Gateway: gate, url: ${server.baseUrl}/responses`);
  assert.equal(server.requests.length, 3);
});

for (const status of [400, 401, 404]) {
  test(`HTTP ${status} is not tried again silently`, async () => {
    await using server = await ModelServer.start(answering(status));
    await failure({ baseUrl: server.baseUrl, clock: new EagerClock() });
    assert.equal(server.requests.length, 1);
  });
}

test("a used-up plan is not tried again", async () => {
  await using server = await ModelServer.start(answering(429, { error: { type: "usage_limit_reached" } }));
  await failure({ baseUrl: server.baseUrl, clock: new EagerClock() });
  assert.equal(server.requests.length, 1);
});

test("the server's wish decides the pause; a long one is left to the caller", async () => {
  const good = streaming(sse(completed));
  await using server = await ModelServer.start(answering(503, "", { "retry-after": "7" }), good);
  const clock = new EagerClock();
  const client = responsesClient({ baseUrl: server.baseUrl, clock });
  await answer(client);
  assert.deepEqual(clock.fired, [7000]);
  await client.close();

  await using exact = await ModelServer.start(answering(429, "", { "retry-after": "1", "retry-after-ms": "12" }), good);
  const other = responsesClient({ baseUrl: exact.baseUrl, clock });
  await answer(other);
  assert.deepEqual(clock.fired.slice(1), [12]);
  await other.close();

  await using busy = await ModelServer.start(answering(503, "", { "retry-after": "3600" }), good);
  const error = await failure({ baseUrl: busy.baseUrl, clock });
  assert.equal(error.retryAfterMs, 3_600_000);
  assert.equal(busy.requests.length, 1);
});

test("no secret is in an error", async () => {
  const secrets = ["sk-secret-key", "secret-header", "secret-param", "p@ss/word", "told-as-one"];
  const basic = Buffer.from("user:p@ss/word").toString("base64");
  const travelling = [basic, encodeURIComponent("p@ss/word"), Buffer.from("sk-secret-key").toString("base64")];
  const shaped = ["sk-other-key-123456", "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln"];
  const echo = `echo ${[...secrets, ...travelling, ...shaped].join(" ")} plain-value`;
  const options = {
    apiKey: "sk-secret-key",
    headers: { "x-api-key": "secret-header", "x-plain": "plain-value" },
    queryParams: { api_key: "secret-param" },
    secrets: ["told-as-one"],
    requestMaxRetries: 0,
  };
  for (const reply of [
    answering(400, echo),
    answering(401, echo),
    answering(401, { error: { message: `Incorrect API key provided: ${echo}` } }),
    answering(403, { error: { message: echo } }),
    answering(404, echo),
    answering(503, echo),
    failed("x", echo),
    answering(200, { error: echo }),
  ]) {
    await using server = await ModelServer.start(reply);
    const baseUrl = server.baseUrl.replace("//", `//user:${encodeURIComponent("p@ss/word")}@`);
    const error = await failure({ baseUrl, ...options });
    const text = `${error.message} ${JSON.stringify(error)} ${String(error.cause)}`;
    for (const secret of [...secrets, ...travelling, ...shaped]) assert.ok(!text.includes(secret), text);
    assert.ok(text.includes("plain-value"));
  }
});

test("a key that cannot be sent is an error that does not show it", async () => {
  await using server = await ModelServer.start(answering(500));
  const error = await failure({ baseUrl: server.baseUrl, apiKey: "bad\nsecret", clock: new EagerClock() });
  assert.deepEqual([error.retryable, error.message.includes("secret")], [false, false]);
  assert.equal(server.requests.length, 0);
});

async function failure(options: ResponsesClientOptions): Promise<ModelError> {
  const client = responsesClient(options);
  try {
    await answer(client);
  } catch (error) {
    assert.ok(error instanceof ModelError, String(error));
    return error;
  } finally {
    await client.close();
  }
  return assert.fail("the answer did not fail");
}

const factsOf = ({ message: text, info, retryable, retryAfterMs, httpStatus, usage }: ModelError) => ({
  message: text,
  info,
  retryable,
  ...(retryAfterMs !== undefined && { retryAfterMs }),
  ...(httpStatus !== undefined && { httpStatus }),
  ...(usage !== undefined && { usage }),
});

/** Texts of a time of day are in the local zone. */
function localNoon(): number {
  return new Date(2100, 0, 1, 12).getTime() / 1000;
}

/** Stock Codex's words for each plan, before it says when to try again. */
const PLANS: Readonly<Record<string, string>> = {
  ...{ free: "Upgrade to Plus to continue using Codex (https://chatgpt.com/explore/plus), or try" },
  ...{ go: "Upgrade to Plus to continue using Codex (https://chatgpt.com/explore/plus), or try" },
  ...{ prolite: "Visit https://chatgpt.com/settings/usage to purchase more credits or try" },
  ...{ team: "To get more access now, send a request to your admin or try" },
  ...{ business: "To get more access now, send a request to your admin or try" },
  ...{ self_serve_business_usage_based: "To get more access now, send a request to your admin or try" },
  ...{ enterprise_cbp_usage_based: "To get more access now, send a request to your admin or try" },
  ...{ edu: "Try", enterprise: "Try", constructor: "Try" },
};
for (const [plan, advice] of Object.entries(PLANS)) {
  test(`the usage limit of a plan: ${plan}`, async () => {
    await using server = await ModelServer.start(
      answering(429, { error: { type: "usage_limit_reached", plan_type: plan } }),
    );
    const client = responsesClient({ baseUrl: server.baseUrl });
    await assert.rejects(answer(client), { message: `You’ve hit your usage limit. ${advice} again later.` });
    await client.close();
  });
}

test("a failure without a word says that nothing is known of it", async () => {
  await using server = await ModelServer.start((response) => void response.writeHead(403).end(" \n"));
  const client = responsesClient({ baseUrl: server.baseUrl });
  const message = `unexpected status 403 Forbidden: Unknown error, url: ${server.baseUrl}/responses`;
  await assert.rejects(answer(client), { message });
  await client.close();
});
