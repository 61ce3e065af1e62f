/** One model that a user may choose (SPEC 16). */
export type ModelPreset = {
  readonly id: string;
  readonly model: string;
  readonly displayName: string;
  readonly description: string;
  readonly defaultReasoningEffort: string;
  readonly supportedReasoningEfforts: readonly { readonly effort: string; readonly description: string }[];
  readonly isDefault: boolean;
  readonly hidden?: boolean;
  /** Ways to be served, by the ids that `serviceTier` takes; none where nothing is known of any. */
  readonly serviceTiers?: readonly ServiceTier[];
};

/** A way in which a model's provider serves requests, such as sooner and for more. */
export type ServiceTier = { readonly id: string; readonly name: string; readonly description: string };
