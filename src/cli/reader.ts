const watchers = new Set<() => void>();

/** Calls `end` when whoever reads this process's output has gone (`skein ... | head`), once or more. Until disposed. */
export function whenReaderGoes(end: () => void): Disposable {
  watchers.add(end);
  return { [Symbol.dispose]: () => void watchers.delete(end) };
}

/** Tells those who have something to end in order. @returns whether there are any */
export function readerHasGone(): boolean {
  for (const end of watchers) end();
  return watchers.size > 0;
}
