/** Counts how often the event loop turns until `stop` is called, which says it. */
export function countLoopTurns(): { stop(): number } {
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns += 1;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  return {
    stop: () => {
      isOver = true;
      return turns;
    },
  };
}
