/** One turn on a clock: what took how long. */
import type { Turn } from "../conversation.ts";
import { duration, visible } from "../words.ts";

export function Flame({ turn }: { readonly turn: Turn }) {
  const items = turn.items.value
    .map(({ item }) => item.value)
    .filter(({ startedAtMs }) => startedAtMs !== null && startedAtMs > 0);
  const start = Math.min(...items.map(({ startedAtMs }) => startedAtMs ?? 0));
  const end = Math.max(start + 1, ...items.map(({ completedAtMs, startedAtMs }) => completedAtMs ?? startedAtMs ?? 0));
  if (items.length === 0) return <p class="empty">No times are known of this turn.</p>;
  return (
    <div class="flame" role="img" aria-label={`What took how long, of ${duration(end - start)}`}>
      {items.map((item) => {
        const from = (((item.startedAtMs ?? start) - start) / (end - start)) * 100;
        const to = (((item.completedAtMs ?? end) - start) / (end - start)) * 100;
        const what = String(item.tool ?? item.command ?? item.type);
        return (
          <div class="lane" key={item.id}>
            <span class={`bar ${item.type}`} style={{ left: `${from}%`, width: `${Math.max(0.4, to - from)}%` }} />
            <span class="what">
              {visible(what).slice(0, 60)} {duration((item.completedAtMs ?? end) - (item.startedAtMs ?? start))}
            </span>
          </div>
        );
      })}
    </div>
  );
}
