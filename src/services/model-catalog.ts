import type { ModelPreset } from "../model/model-preset.ts";
import type { AuthMethod } from "./auth-manager.ts";

/** The provider that is meant where none is named. */
export const OPENAI_PROVIDER = "openai";
/** The provider, and the model, that answers by script: the one that needs neither network nor key. */
export const SCRIPTED = "scripted";

const EFFORTS: Readonly<Record<string, string>> = {
  low: "Answers soon, with little reasoning",
  medium: "Weighs speed against depth, for everyday work",
  high: "Reasons longer about hard problems",
  xhigh: "Reasons very long",
  max: "Reasons as long as one answer allows",
  ultra: "As max, and may divide the work among agents",
};
const efforts = (...names: readonly string[]): ModelPreset["supportedReasoningEfforts"] =>
  names.map((effort) => ({ effort, description: EFFORTS[effort] ?? "" }));
const TO_HIGH = efforts("low", "medium", "high", "xhigh");
const TO_MAX = [...TO_HIGH, ...efforts("max")];
const ALL = [...TO_MAX, ...efforts("ultra")];

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

/** What stock 0.171 offers with each of its own models, in words of ours. */
const FAST = { id: "priority", name: "Fast", description: "Answers sooner, and counts for more" } as const;

const named = (
  [model, displayName, description]: readonly [string, string, string],
  defaultReasoningEffort: string,
  supported: ModelPreset["supportedReasoningEfforts"],
): ModelPreset => ({
  ...preset(model, description, supported),
  displayName,
  defaultReasoningEffort,
  serviceTiers: [FAST],
});

const hidden = (model: ModelPreset): ModelPreset => ({ ...model, hidden: true });

/**
 * The models that Codex 0.171 offers without any network (what its model/list answers offline; SPEC 16), in its order, with
 * descriptions of our own. Those of Codex 0.87 are known as well, and hidden, for settings that name them.
 */
export const BUILT_IN_MODELS: readonly ModelPreset[] = [
  {
    ...named(["gpt-6.2-sol", "GPT-6.2-Sol", "The usual choice: quick, for code and everyday work."], "low", ALL),
    isDefault: true,
  },
  named(["gpt-6.2-astra", "GPT-6.2-Astra", "The strongest, for hard code and expert work."], "low", ALL),
  named(["gpt-6.1-terra", "GPT-6.1 Terra", "Economical, good with pictures and at using a computer."], "low", ALL),
  named(["gpt-6.1-sol", "GPT-6.1-Sol", "The usual choice of the generation before."], "low", ALL),
  named(["gpt-6-astra", "GPT-6-Astra", "The strongest of the generation before."], "low", ALL),
  named(["gpt-6-sol", "GPT-6-Sol", "Older, for code and everyday work."], "medium", ALL),
  named(["gpt-6-luna", "GPT-6-Luna", "Quick and cheap, for easy tasks."], "medium", TO_MAX),
  named(["gpt-5.6-sol", "GPT-5.6-Sol", "Older, for code and everyday work."], "low", ALL),
  named(["gpt-5.6-terra", "GPT-5.6-Terra", "Older and economical, for work with tools."], "medium", ALL),
  named(["gpt-5.6-luna", "GPT-5.6-Luna", "Older and quick, for easy tasks."], "medium", TO_MAX),
  named(["gpt-5.5", "GPT-5.5", "The oldest that is offered."], "medium", TO_HIGH),
  ...["gpt-5.2-codex", "gpt-5.2", "gpt-5.1-codex-max"].map((name) => hidden(preset(name, "Of 2025.", TO_HIGH))),
  hidden(preset("gpt-5.1-codex-mini", "Of 2025, cheaper and weaker.", efforts("medium", "high"))),
];

export const SCRIPTED_MODEL: ModelPreset = {
  ...preset(SCRIPTED, "Answers by script, without a network or a key.", []),
  displayName: "Scripted",
  defaultReasoningEffort: "none",
};

/** The window that Codex takes a model to have whose facts it does not know. */
export const USUAL_WINDOW = 272_000;

/** Whole windows in tokens, as Codex 0.169, and 0.171 for its newest, know them by themselves; a name stands for all that begin with it. */
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
    ["gpt-6.2-sol", 500_000],
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
