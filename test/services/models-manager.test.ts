import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ManualClock } from "../../src/kernel/clock.ts";
import type { FetchedModels, FetchModels } from "../../src/services/model-fetch.ts";
import { createModelsManager, FETCH_LIMIT_MS, FRESH_MS, RETRY_AFTER_MS } from "../../src/services/models-manager.ts";
import { keptLog, tempHome } from "./temp-home.ts";

const START = Date.UTC(2026, 10, 22);
const names = (models: readonly { model: string; isDefault: boolean; hidden?: boolean }[]) =>
  models.map(({ model, isDefault, hidden }) => `${model}${isDefault ? "*" : ""}${hidden === true ? "-" : ""}`);
const OTHERS = [
  ...["gpt-6.2-astra", "gpt-6.1-terra", "gpt-6.1-sol", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna"],
  ...["gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.5"],
];
const BUILT_IN = ["gpt-6.2-sol*", ...OTHERS];
/** Those of Codex 0.87. */
const OLD = ["gpt-5.2-codex-", "gpt-5.2-", "gpt-5.1-codex-max-", "gpt-5.1-codex-mini-"];
const remote = { slug: "gpt-9", display_name: "GPT 9", priority: 1, supported_in_api: true, context_window: 1000 };

/** A fetcher that answers what it is told to, and keeps what it was asked. */
function scriptedFetch(...answers: (FetchedModels | Error)[]) {
  const asked: (string | undefined)[] = [];
  const fetch: FetchModels = async ({ etag }) => {
    asked.push(etag);
    const answer = answers[asked.length - 1] ?? assert.fail("one fetch too many");
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { fetch, asked };
}

const list = (models: unknown[], etag?: string): FetchedModels => ({ notModified: false, etag, body: { models } });

test("without a network the built-in models are listed, as Codex 0.171 lists them; those of 0.87 are hidden", async () => {
  const models = createModelsManager();
  assert.deepEqual(names(await models.listModels()), BUILT_IN);
  assert.deepEqual(names(await models.listModels({ provider: "mock" })), BUILT_IN);
  assert.deepEqual(names(await models.listModels({ includeHidden: true })), [...BUILT_IN, ...OLD, "scripted-"]);
  assert.deepEqual((await models.listModels()).at(-1), {
    id: "gpt-5.5",
    model: "gpt-5.5",
    displayName: "GPT-5.5",
    description: "The oldest that is offered.",
    supportedReasoningEfforts: [
      { effort: "low", description: "Answers soon, with little reasoning" },
      { effort: "medium", description: "Weighs speed against depth, for everyday work" },
      { effort: "high", description: "Reasons longer about hard problems" },
      { effort: "xhigh", description: "Reasons very long" },
    ],
    defaultReasoningEffort: "medium",
    isDefault: false,
    serviceTiers: [{ id: "priority", name: "Fast", description: "Answers sooner, and counts for more" }],
  });
});

test("the scripted model is there for its own provider", async () => {
  const models = createModelsManager();
  assert.deepEqual(names(await models.listModels({ provider: "scripted" })), ["scripted*"]);
  assert.equal(models.defaultModel({ provider: "scripted" }), "scripted");
});

test("the default follows the way of signing in", async () => {
  const { fetch } = scriptedFetch(list([{ ...remote, priority: 0 }, { slug: "codex-auto-balanced" }]));
  const models = createModelsManager({ remote: { provider: "openai", fetch }, clock: new ManualClock() });
  assert.equal(models.defaultModel({ authMethod: "chatgpt" }), "gpt-6.2-sol");
  await models.listModels();
  assert.equal(models.defaultModel({ authMethod: "chatgpt" }), "codex-auto-balanced");
  assert.equal(models.defaultModel({ authMethod: "apikey" }), "gpt-6.2-sol");
  assert.equal(models.defaultModel(), "gpt-6.2-sol");
});

test("fetched models come first by priority, then the built-in ones; one visible model is the default", async () => {
  const { fetch } = scriptedFetch(
    list([
      { ...remote, slug: "last", priority: 9 },
      { slug: "only-chatgpt", priority: 0, supported_in_api: false },
      { slug: "internal", priority: 0, visibility: "hide" },
      { slug: "gpt-5.2", priority: 2, display_name: "Renamed", supported_reasoning_levels: [{ effort: "low" }] },
    ]),
  );
  const models = createModelsManager({ remote: { provider: "openai", fetch }, clock: new ManualClock() });
  assert.deepEqual(names(await models.listModels()), ["gpt-5.2*", "last", "gpt-6.2-sol", ...OTHERS]);
  assert.deepEqual(names(await models.listModels({ authMethod: "chatgpt", includeHidden: true })), [
    "only-chatgpt*",
    "internal-",
    "gpt-5.2",
    "last",
    "gpt-6.2-sol",
    ...OTHERS,
    ...OLD.filter((name) => name !== "gpt-5.2-"),
    "scripted-",
  ]);
});

test("what the models offer beside the usual service: the list's word for those it tells of, else what stock offers offline", async () => {
  const soon = { id: "priority", name: "Soon", description: "" };
  const { fetch } = scriptedFetch(
    list([
      {
        ...remote,
        slug: "tiered",
        service_tiers: [
          { id: "priority", name: "Soon", cost: 2 },
          { id: "flex", name: "Late" },
        ],
      },
      { ...remote, slug: "plain", service_tiers: [] },
      { ...remote, slug: "gpt-6.2-sol" },
    ]),
  );
  const models = createModelsManager({ remote: { provider: "openai", fetch }, clock: new ManualClock() });
  const offered = new Map(
    (await models.listModels({ includeHidden: true })).map(({ model, serviceTiers }) => [model, serviceTiers]),
  );
  assert.deepEqual(offered.get("tiered"), [soon, { id: "flex", name: "Late", description: "" }]);
  assert.equal(offered.get("plain"), undefined);
  assert.equal(offered.get("gpt-6.2-sol"), undefined, "what the server says of a model is all that is known");
  assert.deepEqual(
    offered.get("gpt-6-sol")?.map(({ id }) => id),
    ["priority"],
  );
  assert.equal(offered.get("gpt-5.2"), undefined);
});

test("a list is fresh for 300 s, then asked for with its ETag; the server's ETag renews it or makes it stale", async () => {
  const clock = new ManualClock({ startMs: START });
  const { fetch, asked } = scriptedFetch(
    list([remote], "v1"),
    { notModified: true },
    list([remote], "v2"),
    list([], "v3"),
  );
  const models = createModelsManager({ remote: { provider: "openai", fetch }, clock });
  await models.listModels();
  clock.advance(FRESH_MS - 1);
  await models.listModels();
  assert.deepEqual(asked, [undefined]);
  clock.advance(1);
  assert.equal((await models.listModels())[0]?.model, "gpt-9");
  assert.deepEqual(asked, [undefined, "v1"]);
  clock.advance(FRESH_MS - 1);
  models.noteEtag("v1");
  clock.advance(2);
  await models.listModels();
  assert.deepEqual(asked, [undefined, "v1"]);
  models.noteEtag("v2");
  await models.listModels();
  await models.listModels({ refresh: "offline" });
  await models.listModels({ refresh: "online" });
  assert.deepEqual(asked, [undefined, "v1", "v1", "v2"]);
  assert.equal(models.knows("gpt-9"), false);
});

test("a failing fetch is logged and not repeated for a while; what is known goes on", async () => {
  const clock = new ManualClock({ startMs: START });
  const log = keptLog();
  const { fetch, asked } = scriptedFetch(
    new Error("refused"),
    { notModified: false, body: "<html>" },
    { notModified: false, body: { models: [{ slug: 7 }] } },
    list([remote]),
    new Error("refused"),
  );
  const models = createModelsManager({ remote: { provider: "openai", fetch }, clock, logger: log });
  for (let attempt = 0; attempt < 3; attempt++) {
    assert.deepEqual(names(await models.listModels()), BUILT_IN);
    assert.deepEqual(names(await models.listModels()), BUILT_IN);
    clock.advance(RETRY_AFTER_MS);
  }
  assert.equal((await models.listModels())[0]?.model, "gpt-9");
  clock.advance(FRESH_MS);
  assert.equal((await models.listModels())[0]?.model, "gpt-9");
  assert.equal(asked.length, 5);
  assert.equal(log.lines.length, 4);
});

test("a fetcher that never answers and ignores its signal holds nobody longer than the limit", async () => {
  const clock = new ManualClock({ startMs: START });
  const log = keptLog();
  const signals: AbortSignal[] = [];
  const fetch: FetchModels = ({ signal }) => {
    signals.push(signal);
    return new Promise(() => undefined);
  };
  const models = createModelsManager({ remote: { provider: "openai", fetch }, clock, logger: log });
  const both = Promise.all([models.listModels(), models.listModels()]);
  await clock.advanceAsync(FETCH_LIMIT_MS);
  assert.deepEqual((await both).map(names), [BUILT_IN, BUILT_IN]);
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [true],
  );
  assert.equal(clock.pending, 0);
  assert.equal(log.lines.length, 1);
});

test("the list is kept in models_cache.json as Codex writes it, and the next process needs no network", async (t) => {
  const home = await tempHome(t);
  const clock = new ManualClock({ startMs: START });
  const first = scriptedFetch(list([{ ...remote, future: true }], 'W/"abc"'));
  await createModelsManager({ remote: { provider: "openai", fetch: first.fetch }, home, clock }).listModels();
  const path = join(home, "models_cache.json");
  assert.deepEqual(JSON.parse(await readFile(path, "utf8")), {
    fetched_at: "2026-11-22T00:00:00.000Z",
    etag: 'W/"abc"',
    models: [{ ...remote, future: true }],
  });

  const second = scriptedFetch({ notModified: true });
  const models = createModelsManager({ remote: { provider: "openai", fetch: second.fetch }, home, clock });
  assert.equal((await models.listModels())[0]?.displayName, "GPT 9");
  assert.equal(models.contextWindow("gpt-9"), 950);
  assert.deepEqual(second.asked, []);
  clock.advance(FRESH_MS);
  await models.listModels();
  assert.deepEqual(second.asked, ['W/"abc"']);
  assert.equal(JSON.parse(await readFile(path, "utf8")).fetched_at, "2026-11-22T00:05:00.000Z");
});

test("what one provider says of its models says nothing of another's of the same name", async () => {
  const { fetch } = scriptedFetch(list([remote]));
  const models = createModelsManager({ remote: { provider: "mine", fetch }, clock: new ManualClock() });
  await models.listModels({ provider: "mine" });
  const facts = (provider?: string) => [models.contextWindow("gpt-9", provider), models.knows("gpt-9", provider)];
  assert.deepEqual(facts("mine"), [950, true]);
  assert.deepEqual(facts(), [950, true]);
  assert.deepEqual(facts("other"), [258_400, false]);
});

test("a list that was kept for another address or account is not used, and no secret of either is stored", async (t) => {
  const home = await tempHome(t);
  const clock = new ManualClock({ startMs: START });
  const askedBy = async (identity: string | undefined) => {
    const { fetch, asked } = scriptedFetch(list([remote], "e"));
    const models = createModelsManager({ remote: { provider: "mine", fetch, identity }, home, clock });
    await models.listModels({ provider: "mine" });
    return asked.length;
  };
  const answers = [];
  for (const identity of [
    "http://u:pa55@a",
    "http://u:pa55@a",
    "http://u:pa55@b",
    undefined,
    undefined,
    "http://u:pa55@a",
  ]) {
    answers.push(await askedBy(identity));
  }
  assert.deepEqual(answers, [1, 0, 1, 1, 0, 1]);
  assert.doesNotMatch(await readFile(join(home, "models_cache.json"), "utf8"), /pa55/);
});

test("a broken cache, a cache of another provider, and a home that cannot be written do no harm", async (t) => {
  const home = await tempHome(t);
  const clock = new ManualClock({ startMs: START });
  const path = join(home, "models_cache.json");
  const foreign = JSON.stringify({ fetched_at: new Date(START).toISOString(), provider: "ollama", models: [remote] });
  const wrong = JSON.stringify({ fetched_at: new Date(START).toISOString(), models: [7] });
  for (const text of ["", "{", foreign, wrong]) {
    await writeFile(path, text);
    const { fetch, asked } = scriptedFetch(list([{ slug: "fresh" }]));
    const models = createModelsManager({ remote: { provider: "openai", fetch }, home, clock, logger: keptLog() });
    assert.equal((await models.listModels())[0]?.model, "fresh");
    assert.deepEqual(asked, [undefined]);
  }
  const log = keptLog();
  const { fetch } = scriptedFetch(list([{ slug: "fresh" }]));
  const unwritable = createModelsManager({ remote: { provider: "openai", fetch }, home: path, clock, logger: log });
  assert.equal((await unwritable.listModels())[0]?.model, "fresh");
  assert.equal(log.lines.length, 1);
});

test("another provider's list stands alone, from the OpenAI form, and its first model is the default", async (t) => {
  const home = await tempHome(t);
  const { fetch } = scriptedFetch({
    notModified: false,
    body: { object: "list", data: [{ id: "llama" }, { id: "qwen" }] },
  });
  const options = { remote: { provider: "ollama", fetch }, home, clock: new ManualClock({ startMs: START }) };
  const models = createModelsManager(options);
  assert.deepEqual(names(await models.listModels({ provider: "ollama" })), ["llama*", "qwen"]);
  assert.equal(models.defaultModel({ provider: "ollama" }), "llama");
  assert.deepEqual(names(await models.listModels()), BUILT_IN);
  assert.deepEqual(names(await createModelsManager(options).listModels({ provider: "ollama" })), ["llama*", "qwen"]);
});

test("context windows: Codex's share of its models' window, also for models that nobody knows", () => {
  const models = createModelsManager();
  const facts = (model: string) => [models.contextWindow(model), models.knows(model)];
  assert.deepEqual(facts("gpt-6.1-terra"), [475_000, true]);
  assert.deepEqual(facts("llama"), [258_400, false]);
  assert.deepEqual(facts("scripted"), [null, true]);
});
