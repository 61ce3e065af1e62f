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
};
