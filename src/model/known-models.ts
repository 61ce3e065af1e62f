/**
 * How Codex 0.171 asks the models that it knows by itself (SPEC 30): measured by asking a turn of each name that its
 * `model/list` gives, without any network. A model that is not among them is asked in the form that every server of the API takes.
 */

/** What a request to a model says where its thread's settings are silent, and the form that it has. */
export type KnownModel = {
  readonly effort: string;
  /** What is asked for in place of `ultra`, a word of Codex's own that no server knows. */
  readonly ultra: "xhigh" | "max";
  readonly verbosity: string;
  /** `lite`: instructions and tools stand in the input, as developer items. */
  readonly form: "full" | "lite";
};

const lite = (effort: string, ultra: KnownModel["ultra"], verbosity = "low"): KnownModel => ({
  effort,
  ultra,
  verbosity,
  form: "lite",
});

/** A name stands for all that begin with it. */
const KNOWN: readonly (readonly [name: string, facts: KnownModel])[] = [
  ["gpt-6.2-sol", lite("low", "xhigh")],
  ["gpt-6.2-astra", lite("low", "xhigh")],
  ["gpt-6.1-terra", lite("low", "xhigh")],
  ["gpt-6.1-sol", lite("low", "xhigh")],
  ["gpt-6-astra", lite("low", "xhigh")],
  ["gpt-6-sol", lite("medium", "max")],
  ["gpt-6-luna", lite("medium", "max")],
  ["gpt-5.6-sol", lite("low", "max")],
  ["gpt-5.6-terra", lite("medium", "max")],
  ["gpt-5.6-luna", lite("medium", "max")],
  ["gpt-daybreak-blue-latest", lite("low", "max")],
  ["gpt-daybreak-red-latest", lite("medium", "max", "high")],
  ["codex-auto-review", lite("medium", "max")],
  ["gpt-5.5", { effort: "medium", ultra: "xhigh", verbosity: "low", form: "full" }],
];

/** undefined: nothing is known of the model. */
export const knownModel = (model: string): KnownModel | undefined =>
  KNOWN.find(([name]) => model.startsWith(name))?.[1];
