import type { ModelPreset } from "../model/model-preset.ts";
import type { AuthMethod } from "./auth-manager.ts";

/** The provider that is meant where none is named. */
export const OPENAI_PROVIDER = "openai";
/** The provider, and the model, that answers by script: the one that needs neither network nor key. */
export const SCRIPTED = "scripted";

const FAST_AND_LIGHT = { effort: "low", description: "Fast responses with lighter reasoning" };
const EVERYDAY = { effort: "medium", description: "Balances speed and reasoning depth for everyday tasks" };
const MAXIMAL = { effort: "high", description: "Maximizes reasoning depth for complex or ambiguous problems" };
const AGENTIC = [
  FAST_AND_LIGHT,
  EVERYDAY,
  { effort: "high", description: "Greater reasoning depth for complex problems" },
  { effort: "xhigh", description: "Extra high reasoning depth for complex problems" },
];

const preset = (
  model: string,
  description: string,
  efforts: ModelPreset["supportedReasoningEfforts"],
): ModelPreset => ({
  id: model,
  model,
  displayName: model,
  description,
  defaultReasoningEffort: "medium",
  supportedReasoningEfforts: efforts,
  isDefault: false,
});

/** The models that Codex 0.87 offers without any network (SPEC 16), in its order and words. */
export const BUILT_IN_MODELS: readonly ModelPreset[] = [
  { ...preset("gpt-5.2-codex", "Latest frontier agentic coding model.", AGENTIC), isDefault: true },
  preset("gpt-5.2", "Latest frontier model with improvements across knowledge, reasoning and coding", [
    {
      effort: "low",
      description: "Balances speed with some reasoning; useful for straightforward queries and short explanations",
    },
    {
      effort: "medium",
      description: "Provides a solid balance of reasoning depth and latency for general-purpose tasks",
    },
    MAXIMAL,
    { effort: "xhigh", description: "Extra high reasoning for complex problems" },
  ]),
  preset("gpt-5.1-codex-max", "Codex-optimized flagship for deep and fast reasoning.", AGENTIC),
  preset("gpt-5.1-codex-mini", "Optimized for codex. Cheaper, faster, but less capable.", [
    { effort: "medium", description: "Dynamically adjusts reasoning based on the task" },
    MAXIMAL,
  ]),
];

export const SCRIPTED_MODEL: ModelPreset = {
  ...preset(SCRIPTED, "Answers by script, without a network or a key.", []),
  displayName: "Scripted",
  defaultReasoningEffort: "none",
};

/** The window that Codex takes a model to have whose facts it does not know. */
export const USUAL_WINDOW = 272_000;

/** Whole windows in tokens, as Codex 0.169 knows them by itself; a name stands for all that begin with it. */
const WINDOWS: readonly (readonly [name: string, tokens: number])[] = [
  ...[
    "gpt-5.5",
    "gpt-5.6-luna",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-6-astra",
    "gpt-6-luna",
    "gpt-6-sol",
    "gpt-6.1-sol",
  ],
  ...["codex-auto-review", "gpt-daybreak-blue-latest"],
]
  .map((name): readonly [string, number] => [name, USUAL_WINDOW])
  .concat([
    ["gpt-6.1-terra", 500_000],
    ["gpt-daybreak-red-latest", 372_000],
  ]);

/** undefined: nobody has said what the model's window is. */
export const builtInWindow = (model: string): number | undefined =>
  WINDOWS.find(([name]) => model.startsWith(name))?.[1];

/** What a fetched list says of one model. */
export type RemoteModel = {
  readonly preset: ModelPreset;
  /** Lower comes first. */
  readonly priority: number;
  readonly supportedInApi: boolean;
  /** The whole window in tokens, when the server says it. */
  readonly contextWindow?: number | undefined;
};

/**
 * Fetched models by priority, then the built-in ones that are not among them and that are no default any more. A model
 * that the API does not support is hidden unless signed in with ChatGPT. One visible model is the default.
 */
export function mergeModels(remote: readonly RemoteModel[], authMethod: AuthMethod | null): ModelPreset[] {
  if (remote.length === 0) return [...BUILT_IN_MODELS];
  const fetched = remote
    .toSorted((a, b) => a.priority - b.priority)
    .map(({ preset: model, supportedInApi }) =>
      authMethod === "chatgpt" || supportedInApi ? model : { ...model, hidden: true },
    );
  const names = new Set(fetched.map((model) => model.model));
  const others = BUILT_IN_MODELS.filter((model) => !names.has(model.model)).map(withoutDefault);
  return withOneDefault([...fetched, ...others]);
}

const withoutDefault = (model: ModelPreset): ModelPreset => (model.isDefault ? { ...model, isDefault: false } : model);

/** The first visible model that claims to be the default is it, else the first visible one. */
export function withOneDefault(models: readonly ModelPreset[]): ModelPreset[] {
  const visible = (model: ModelPreset) => model.hidden !== true;
  const chosen = models.find((model) => visible(model) && model.isDefault) ?? models.find(visible);
  return models.map((model) => (model === chosen ? { ...model, isDefault: true } : withoutDefault(model)));
}
