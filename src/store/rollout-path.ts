/** What the writers of a file store have beside the port. */
export interface RolloutFileOwner {
  /** Where the thread's rollout lies now: archiving moves it. */
  readonly rolloutPath: string;
}

/** Where a thread's rollout lies; null in stores that have no files. */
export function rolloutPathOf(writer: object): string | null {
  const { rolloutPath } = writer as Partial<RolloutFileOwner>;
  return typeof rolloutPath === "string" ? rolloutPath : null;
}
